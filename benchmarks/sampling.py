"""How fast few-step samplers are against ancestral sampling with all steps, on the same weights, and at which loss.

    python -m benchmarks.sampling --device auto --out sampling.json

trains a small class-conditional diffusion model of a biased set (or reads `--weights`), then samples from it in
every way and prints images a second, the ratio to ancestral sampling at the same precision, and the share of images
that carry their class's bias attribute.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import diffusers
import numpy as np
import torch
from diffusers import UNet2DModel
from safetensors.torch import load_file, save_file
from torch import Tensor

from lab.data.biased_mnist import BiasedMnist, BiasedMnistConfig
from lab.data.shapes import Shapes, ShapesConfig
from lab.diffusion.average import averaged
from lab.diffusion.config import SamplerName, UNetConfig
from lab.diffusion.loss import drop_mask, noise_loss
from lab.diffusion.sample import sample, to_uint8
from lab.diffusion.schedules import build_sampler, noise_scheduler, noise_variances
from lab.diffusion.unet import build_unet
from lab.stages.seeds import derive

ANCESTRAL: tuple[SamplerName, int | None] = ("ddpm", None)
FAST: tuple[tuple[SamplerName, int | None], ...] = (
    ("dpmpp_2m", 20),
    ("dpmpp_2m", 25),
    ("sde_dpmpp_2m", 20),
    ("sde_dpmpp_2m", 25),
    ("ddim", 50),
)


def main(argv: list[str] | None = None) -> int:
    options = arguments(argv)
    device = torch.device(options.device)
    if options.threads:
        torch.set_num_threads(options.threads)
    with TemporaryDirectory() as cache:
        dataset = open_dataset(options, Path(cache))
        images, labels = dataset.split("train").images, dataset.split("train").labels
    height, width, channels = images.shape[1:]
    config = UNetConfig(options.widths, options.layers, (height // 2,), options.head_dim)
    model = build_unet(config, channels=channels, size=(height, width), classes=len(dataset.class_names)).to(device)
    training: dict[str, float] = {}
    if options.weights:
        model.load_state_dict(unet_weights(load_file(options.weights)))
    else:
        model, training = train(model, images, labels, options, device)
    if options.save:
        save_file({name: value.contiguous().cpu() for name, value in model.state_dict().items()}, options.save)
    model.eval().requires_grad_(False)
    if options.compile:
        model.compile()

    rows = []
    for precision in options.precision:
        ancestral: dict[str, Any] = {}
        for name, steps in (ANCESTRAL, *FAST):
            count = (options.ancestral_images or options.images) if (name, steps) == ANCESTRAL else options.images
            row = measure(model, dataset, (channels, height, width), name, steps, precision, count, options)
            ancestral = ancestral or row
            row["speedup"] = row["images_per_second"] / ancestral["images_per_second"]
            row["aligned_points"] = 100 * (row["aligned_share"] - ancestral["aligned_share"])
            rows.append(row)
            print(line(row), flush=True)
    result = {
        "machine": machine(device),
        "settings": {name: value for name, value in vars(options).items() if name not in FILES},
        "training": training,
        "training_aligned_share": aligned_share(dataset, images, labels),
        "samplers": rows,
    }
    if options.out:
        options.out.write_text(json.dumps(result, indent=2) + "\n")
    return 0


FILES = ("out", "save", "weights", "root")
"""Options that only say where something lies."""


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--device", default="auto", help="auto (default), cpu or cuda")
    add("--threads", type=int, help="CPU threads")
    add("--data", choices=("shapes", "biased_mnist"), default="shapes")
    add("--root", help="folder with the data of biased_mnist; default LAB_DATA")
    add("--image-size", type=int, help="default 16 for shapes, 32 for biased_mnist")
    add("--widths", type=int, nargs="+", default=(16, 32, 32))
    add("--layers", type=int, default=1, help="residual blocks a level")
    add("--head-dim", type=int, default=16)
    add("--timesteps", type=int, default=1000)
    add("--prediction", choices=("epsilon", "v"), default="v", help="what the network learns to predict")
    add("--guidance-scale", type=float, default=2.0)
    add("--train-steps", type=int, default=1500)
    add("--batch-size", type=int, default=64, help="in training")
    add("--lr", type=float, default=2e-3)
    add("--images", type=int, default=400, help="images of each few-step sampler")
    add("--ancestral-images", type=int, help="images of ancestral sampling; default as many")
    add("--sampling-batch", type=int, default=200)
    add("--precision", nargs="+", choices=("fp32", "bf16"), default=("fp32", "bf16"))
    add("--compile", action="store_true", help="torch.compile the network")
    add("--weights", help="safetensors of --save or of a diffusion stage with the same network and data; no training")
    add("--save", help="where to keep the trained weights")
    add("--seed", type=int, default=0)
    add("--out", type=Path, help="JSON file")
    options = parser.parse_args(argv)
    if options.device == "auto":
        options.device = "cuda" if torch.cuda.is_available() else "cpu"
    options.widths, options.precision = tuple(options.widths), tuple(options.precision)
    return options


def open_dataset(options: argparse.Namespace, cache: Path) -> Shapes | BiasedMnist:
    if options.data == "shapes":
        return Shapes(ShapesConfig(image_size=options.image_size or 16), cache)
    return BiasedMnist(BiasedMnistConfig(root=options.root, image_size=options.image_size or 32, subset=20000), cache)


def unet_weights(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of the network out of a state dict of the network or of a diffusion stage (there the averaged ones)."""
    for prefix in ("ema.module.", "unet."):
        if any(name.startswith(prefix) for name in state):
            return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    return state


def train(
    model: UNet2DModel, images: np.ndarray, labels: np.ndarray, options: argparse.Namespace, device: torch.device
) -> tuple[UNet2DModel, dict[str, float]]:
    """The averaged model after `--train-steps`, and what training took."""
    pixels = torch.from_numpy(np.moveaxis(images, 3, 1).copy()).to(device)
    classes = torch.from_numpy(labels).to(device)
    scheduler = noise_scheduler(noise_variances(options.timesteps), options.prediction)
    generator = torch.Generator(device).manual_seed(derive(options.seed, "train"))
    ema = averaged(model, 0.999)
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.lr, weight_decay=1e-4)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, options.train_steps)
    size, losses = options.batch_size, []
    start = time.perf_counter()
    for step in range(options.train_steps):
        rows = torch.randint(len(pixels), (size,), generator=generator, device=device)
        x0 = pixels[rows].float() / 127.5 - 1
        t = torch.randint(options.timesteps, (size,), generator=generator, device=device)
        noise = torch.randn(x0.shape, generator=generator, device=device)
        drop = drop_mask(size, 0.1, generator)
        loss = noise_loss(model, scheduler, x0, t, noise, classes[rows], drop)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        decay.step()
        ema.update_parameters(model)
        losses.append(loss.detach())
        if step % 50 == 49:
            print(f"\rtraining: step {step + 1}, loss {torch.stack(losses[-50:]).mean():.4f} ", end="", file=sys.stderr)
    print(file=sys.stderr)
    seconds = time.perf_counter() - start
    last = float(torch.stack(losses[-100:]).mean())
    return ema.module, {"seconds": seconds, "images_per_second": options.train_steps * size / seconds, "loss": last}


def measure(
    model: UNet2DModel,
    dataset: Shapes | BiasedMnist,
    shape: tuple[int, int, int],
    name: SamplerName,
    steps: int | None,
    precision: str,
    count: int,
    options: argparse.Namespace,
) -> dict[str, Any]:
    """One row of the table: `count` images, classes in turn, timed after a warm-up of three steps at the same size."""
    device = torch.device(options.device)
    variances = noise_variances(options.timesteps)
    batch = min(options.sampling_batch, count)
    # Whole batches alone, so that a compiled network sees one size.
    labels = torch.arange(-(-count // batch) * batch, device=device) % len(dataset.class_names)

    def draw(rows: range, steps: int | None) -> Tensor:
        generators = [torch.Generator(device).manual_seed(derive(options.seed, "sample", row)) for row in rows]
        with autocast(device, precision):
            return sample(
                model,
                labels[rows.start : rows.stop],
                scheduler=build_sampler(name, variances, steps),
                guidance_scale=options.guidance_scale,
                shape=shape,
                generators=generators,
                prediction=options.prediction,
                progress=lambda done, of: print(f"\r{name} {precision}: {done}/{of} ", end="", file=sys.stderr),
            )

    draw(range(batch), 3)
    synchronise(device)
    start = time.perf_counter()
    parts = [draw(range(first, first + batch), steps) for first in range(0, len(labels), batch)]
    synchronise(device)
    seconds = time.perf_counter() - start
    print("\r", end="", file=sys.stderr)
    images = to_uint8(torch.cat(parts)).movedim(1, 3).cpu().numpy()
    return {
        "sampler": name,
        "steps": steps or options.timesteps,
        "precision": precision,
        "images": len(images),
        "seconds": seconds,
        "images_per_second": len(images) / seconds,
        "aligned_share": aligned_share(dataset, images, labels.cpu().numpy()),
        "pixel_std": float((images / 127.5 - 1).std()),
    }


def aligned_share(dataset: Shapes | BiasedMnist, images: np.ndarray, labels: np.ndarray) -> float:
    """Share of all images whose readable bias attribute is the one of their class."""
    bias = dataset.read_bias(images, cast(Any, dataset.config))
    return float(((bias >= 0) & dataset.aligned[labels, np.maximum(bias, 0)]).mean())


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def line(row: dict[str, Any]) -> str:
    return (
        f"{row['sampler']:>9} {row['steps']:>5} steps {row['precision']}: {row['images_per_second']:9.2f} images/s "
        f"({row['speedup']:5.1f} x), {row['images']} images, aligned {100 * row['aligned_share']:5.1f} % "
        f"({row['aligned_points']:+.1f} points)"
    )


def machine(device: torch.device) -> dict[str, Any]:
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "cpu",
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
    }


if __name__ == "__main__":
    raise SystemExit(main())
