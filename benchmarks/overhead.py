"""What lab costs per training step, against a bare PyTorch loop with the same network, data, batches and optimiser.

    python -m benchmarks.overhead [--out overhead.json] [--steps 40] [--repeats 5]

Both sides train in turn, `repeats` times. lab's side is the real one: `run_stage` on an experiment with one stage, with
its recovery checkpoints, curves, progress and checks at their defaults. A step is timed from the start of one forward
pass to the start of the next, so that it holds everything that is done per step (rows, transfer, hooks, backward,
optimiser, curves) and leaves out what is done once (start-up, the data set, the artefact). The first steps of a
repeat are dropped. The ratio is the median over repeats of lab's mean step by the bare mean step of the same repeat, by
the clock; `cpu_ratio` is the same of the processor time, which other work on the machine disturbs less.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim.lr_scheduler import LambdaLR

from lab.config import resolve
from lab.data.module import Loading
from lab.data.modules import ShapesDataModule
from lab.data.shapes import ShapesConfig
from lab.diffusion.loss import drop_mask, noise_loss
from lab.papers.ddb.diffusion import DiffusionModule, lr_factor, to_signed
from lab.papers.debiasing.classifier import Classifier
from lab.stages.environment import environment
from lab.stages.graph import plan
from lab.stages.runner import run_stage
from lab.stages.store import Store
from lab.stages.world import World

MOST = 1.05
"""The ratio that lab is meant to stay below with a realistic network."""
WARM = 5
"""Steps at the beginning of each repeat that are not counted."""
BATCH = 64

EXPERIMENT = """
name: overhead
data: {{name: shapes, image_size: 32, train: 1280, val: 8, test: 8}}
trainer: {{max_steps: {steps}, batch_size: {batch}, validate_every: 0, accelerator: {accelerator}}}
stages:
  fit: {{verb: fit, module: {{name: {module}}}}}
"""

Ticks = list[tuple[float, float]]
"""Moments, in seconds: of the clock and of the processor."""
Data = tuple[Tensor, Tensor]


def main(argv: list[str] | None = None) -> int:
    options = arguments(argv)
    if options.threads:
        torch.set_num_threads(options.threads)
    device = torch.device("cuda" if options.accelerator == "gpu" else "cpu")
    found: dict[str, Any] = {
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name() if device.type == "cuda" else environment()["cpu"],
        "threads": torch.get_num_threads(),
        "batch_size": BATCH,
        "image_size": 32,
    }
    for name in options.networks:
        found[name] = compared(name, options, device)
    print(json.dumps(found, indent=1))
    if options.out:
        Path(options.out).write_text(json.dumps(found, indent=1) + "\n")
    for name in options.networks:
        ratio = found[name]["ratio"]
        print(
            f"{name}: {ratio:.3f} times the bare loop ({'at most' if ratio <= MOST else 'ABOVE'} {MOST})",
            file=sys.stderr,
        )
    return 0


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--steps", type=int, default=40, help="steps of a repeat")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, help="default: torch's own choice")
    parser.add_argument("--accelerator", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument("--out", help="file for the numbers")
    options = parser.parse_args(argv)
    if options.steps < WARM + 2:
        parser.error(f"--steps has to be at least {WARM + 2}")
    return options


def compared(name: str, options: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """Milliseconds a step of either side, and their ratio."""
    module, bare = NETWORKS[name]
    steps, pairs = options.steps, []
    with TemporaryDirectory() as folder:
        text = EXPERIMENT.format(steps=steps, batch=BATCH, module=name, accelerator=options.accelerator)
        (Path(folder) / "overhead.yaml").write_text(text)
        data = training_rows(Path(folder), device)
        sides: dict[str, Callable[[], Ticks]] = {
            "lab": lambda: lab_ticks(Path(folder), module),
            "bare": lambda: bare(data, steps, device),
        }
        for repeat in range(options.repeats):
            order = list(sides) if repeat % 2 == 0 else list(sides)[::-1]
            pair = {side: per_step(sides[side]()) for side in order}
            ours, theirs = pair["lab"][0], pair["bare"][0]
            print(f"{name} {repeat + 1}/{options.repeats}: {ours:.2f} / {theirs:.2f} ms", file=sys.stderr)
            pairs.append(pair)
    ratios, cpu_ratios = ([pair["lab"][kind] / pair["bare"][kind] for pair in pairs] for kind in (0, 1))
    return {
        "ratio": round(statistics.median(ratios), 4),
        "ratio_min": round(min(ratios), 4),
        "ratio_max": round(max(ratios), 4),
        "cpu_ratio": round(statistics.median(cpu_ratios), 4),
        "lab_ms": round(statistics.median(pair["lab"][0] for pair in pairs), 3),
        "bare_ms": round(statistics.median(pair["bare"][0] for pair in pairs), 3),
        "steps": steps - WARM - 1,
        "repeats": options.repeats,
    }


def now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def per_step(ticks: Ticks) -> list[float]:
    """Mean milliseconds between two ticks without the warm-up, of the clock and of the processor."""
    return [1000 * (last - first) / (len(ticks) - 1 - WARM) for first, last in zip(ticks[WARM], ticks[-1], strict=True)]


def training_rows(cache: Path, device: torch.device) -> Data:
    """Images uint8 (n, 3, 32, 32) and labels of the experiment's training split."""
    config = resolve(cache / "overhead.yaml").experiment.data.options
    assert isinstance(config, ShapesConfig)
    rows = ShapesDataModule(config, Loading(cache=cache)).rows("train")
    batch = rows[list(range(len(rows)))]
    return batch.image.to(device), batch.label.to(device)


def lab_ticks(folder: Path, module: type[Any]) -> Ticks:
    """Moments at which lab enters `training_step`."""
    with TemporaryDirectory(dir=folder) as runs, ticking(module) as ticks:
        (node,) = plan(resolve(folder / "overhead.yaml", overrides=[f"runs_dir={runs}"]).experiment)
        run_stage(node, {}, Store(Path(runs)), World(), label="overhead")
    return ticks


@contextmanager
def ticking(module: type[Any]) -> Iterator[Ticks]:
    """Note the time whenever `training_step` of that class begins."""
    step, ticks = module.training_step, Ticks()

    def training_step(self: Any, batch: Any, batch_idx: int) -> Tensor:
        ticks.append(now())
        loss: Tensor = step(self, batch, batch_idx)
        return loss

    module.training_step = training_step
    try:
        yield ticks
    finally:
        module.training_step = step


def shuffled(data: Data) -> Iterator[Data]:
    """Batches of images float (B, 3, 32, 32) in [0, 1] and labels, for ever."""
    images, labels = data
    while True:
        for rows in torch.randperm(len(labels), device=labels.device).split(BATCH):
            yield images[rows].float() / 255, labels[rows]


def bare_classifier(data: Data, steps: int, device: torch.device) -> Ticks:
    lab = built("classifier", device)
    network, optimizer = lab.network, torch.optim.AdamW(lab.network.parameters(), lab.config.lr)
    ticks = Ticks()
    for images, labels in itertools.islice(shuffled(data), steps):
        ticks.append(now())
        loss = F.cross_entropy(network(images), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return ticks


def bare_diffusion(data: Data, steps: int, device: torch.device) -> Ticks:
    lab = built("ddb/diffusion", device)
    config, unet, ema = lab.config, lab.unet, lab.ema
    optimizer = torch.optim.AdamW(unet.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    scheduler = LambdaLR(optimizer, lambda step: lr_factor(step, total=steps, warmup=config.warmup))
    generator = torch.Generator(device)
    ticks = Ticks()
    for images, labels in itertools.islice(shuffled(data), steps):
        ticks.append(now())
        timestep = torch.randint(config.timesteps, (len(labels),), device=device)
        drop = drop_mask(len(labels), config.label_drop, generator)
        loss = noise_loss(unet, lab.noising, to_signed(images), timestep, torch.randn_like(images), labels, drop)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        scheduler.step()
        ema.update_parameters(unet)
    return ticks


def built(name: str, device: torch.device) -> Any:
    """A module as lab builds it, for its network."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "overhead.yaml"
        path.write_text(EXPERIMENT.format(steps=1, batch=BATCH, module=name, accelerator="cpu"))
        experiment = resolve(path).experiment
    facts = ShapesDataModule(experiment.data.options, Loading()).facts
    choice = experiment.stages["fit"].module
    assert choice is not None
    return NETWORKS[name][0](choice.options, facts).to(device).train()


NETWORKS: dict[str, tuple[type[Any], Callable[[Data, int, torch.device], Ticks]]] = {
    "ddb/diffusion": (DiffusionModule, bare_diffusion),
    "classifier": (Classifier, bare_classifier),
}
"""The networks at the sizes they have by default: DDB's small U-Net (1.1 M parameters) and the CNN classifier."""

if __name__ == "__main__":
    sys.exit(main())
