"""What lab costs per training step, against a bare PyTorch loop with the same network, data, batches and optimiser.

    python -m benchmarks.overhead [--out overhead.json] [--steps 40] [--loggers]

lab's side is the real one: `run_stage` on an experiment with one stage, with its recovery checkpoints, curves, loggers,
progress and checks at their defaults; `--loggers` with no name behind it leaves the loggers out. The two take turns
step by step, so that other work on the machine slows both: whenever lab enters `training_step`, its clock is stopped,
the bare loop does one step, and lab's clock goes on. A step of lab is thus everything from one forward pass to the next
(rows, hooks, backward, optimiser, curves, checks); what is done once (start-up, the data set, the artefact) is not
counted. `ratio` is the median over the steps, but the first, of lab's time by that of the bare step just before;
`mean_ratio` is the ratio of the means, in which rare work (the end of an epoch) counts and which other programs disturb
more.
"""

from __future__ import annotations

import argparse
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

from lab import registry
from lab.config import resolve
from lab.config.schema import Experiment
from lab.data.module import Loading
from lab.diffusion.loss import drop_mask, noise_loss
from lab.papers.ddb.diffusion import lr_factor, to_signed
from lab.stages.environment import environment
from lab.stages.graph import plan
from lab.stages.loggers import Tracking
from lab.stages.runner import run_stage
from lab.stages.store import Store
from lab.stages.world import World

MOST = 1.05
"""The ratio that lab is meant to stay below with a realistic network."""
WARM = 5
"""Steps at the beginning that are not counted."""
BATCH = 64

EXPERIMENT = """
name: overhead
data: {{name: shapes, image_size: 32, train: 1280, val: 8, test: 8}}
trainer: {{max_steps: {steps}, batch_size: {batch}, validate_every: 0, accelerator: cpu}}
loggers: {loggers}
stages:
  fit: {{verb: fit, module: {{name: {module}}}}}
"""

Steps = Iterator[None]


def main(argv: list[str] | None = None) -> int:
    options = arguments(argv)
    if options.threads:
        torch.set_num_threads(options.threads)
    found: dict[str, Any] = {
        "torch": torch.__version__,
        "cpu": environment()["cpu"],
        "threads": torch.get_num_threads(),
        "batch_size": BATCH,
        "image_size": 32,
        "loggers": options.loggers,
        **{name: compared(name, options.steps, options.loggers) for name in options.networks},
    }
    print(json.dumps(found, indent=1))
    if options.out:
        Path(options.out).write_text(json.dumps(found, indent=1) + "\n")
    for name in options.networks:
        verdict = "at most" if found[name]["ratio"] <= MOST else "ABOVE"
        print(f"{name}: {found[name]['ratio']:.3f} times the bare loop ({verdict} {MOST})", file=sys.stderr)
    return 0


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--steps", type=int, default=60, help="steps of either side")
    parser.add_argument("--loggers", nargs="*", default=["tensorboard"], help="who is told the curves")
    parser.add_argument("--threads", type=int, help="default: torch's own choice")
    parser.add_argument("--out", help="file for the numbers")
    options = parser.parse_args(argv)
    if options.steps < WARM + 3:
        parser.error(f"--steps has to be at least {WARM + 3}")
    return options


def compared(name: str, steps: int, loggers: list[str]) -> dict[str, Any]:
    """Milliseconds a step of either side, and their ratio."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "overhead.yaml"
        path.write_text(EXPERIMENT.format(steps=steps, batch=BATCH, module=name, loggers=loggers))
        experiment = resolve(path, overrides=[f"runs_dir={folder}"]).experiment
        (node,) = plan(experiment)
        with taking_turns(registry.get("module", name).target_class(), bare(name, experiment, steps)) as (lab, plain):
            run_stage(node, {}, Store(Path(folder)), World(), label=name, tracking=Tracking.of(experiment))
    lab, plain = lab[WARM:], plain[WARM : len(lab)]
    return {
        "ratio": round(statistics.median(ours / theirs for ours, theirs in zip(lab, plain, strict=True)), 4),
        "mean_ratio": round(statistics.fmean(lab) / statistics.fmean(plain), 4),
        "lab_ms": round(1000 * statistics.median(lab), 3),
        "bare_ms": round(1000 * statistics.median(plain), 3),
        "steps": len(lab),
    }


@contextmanager
def taking_turns(module: type[Any], steps: Steps) -> Iterator[tuple[list[float], list[float]]]:
    """Seconds of each step of lab, which trains that class meanwhile, and of each of the bare `steps`."""
    training_step, lab, plain = module.training_step, list[float](), list[float]()
    went_on: list[float] = []

    def stopping_the_clock(self: Any, batch: Any, batch_idx: int) -> Tensor:
        stopped = time.perf_counter()
        lab.extend(stopped - moment for moment in went_on)
        next(steps)
        went_on[:] = [time.perf_counter()]
        plain.append(went_on[0] - stopped)
        loss: Tensor = training_step(self, batch, batch_idx)
        return loss

    module.training_step = stopping_the_clock
    try:
        yield lab, plain
    finally:
        module.training_step = training_step


def bare(name: str, experiment: Experiment, steps: int) -> Steps:
    """The loop that one would write by hand; a step a time."""
    data = registry.get("data", "shapes").target_class()(experiment.data.options, Loading())
    choice = experiment.stages["fit"].module
    assert choice is not None
    module = registry.get("module", name).target_class()(choice.options, data.facts).train()  # for its networks
    rows = data.rows("train")
    batch = rows[list(range(len(rows)))]
    return NETWORKS[name](module, shuffled(batch.image, batch.label), steps)


def shuffled(images: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of images float (B, 3, 32, 32) in [0, 1] and labels, for ever."""
    while True:
        for rows in torch.randperm(len(labels)).view(-1, BATCH):
            yield images[rows].float() / 255, labels[rows]


def classifier(module: Any, batches: Iterator[tuple[Tensor, Tensor]], steps: int) -> Steps:
    network, config = module.network, module.config
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    for images, labels in batches:
        loss = F.cross_entropy(network(images), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        yield


def diffusion(module: Any, batches: Iterator[tuple[Tensor, Tensor]], steps: int) -> Steps:
    config, unet, generator = module.config, module.unet, torch.Generator()
    optimizer = torch.optim.AdamW(unet.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    scheduler = LambdaLR(optimizer, lambda step: lr_factor(step, total=steps, warmup=config.warmup))
    for images, labels in batches:
        timestep = torch.randint(config.timesteps, (len(labels),))
        drop = drop_mask(len(labels), config.label_drop, generator)
        loss = noise_loss(unet, module.noising, to_signed(images), timestep, torch.randn_like(images), labels, drop)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        scheduler.step()
        module.ema.update_parameters(unet)
        yield


NETWORKS: dict[str, Callable[[Any, Iterator[tuple[Tensor, Tensor]], int], Steps]] = {
    "ddb/diffusion": diffusion,
    "classifier": classifier,
}
"""At the sizes they have by default: DDB's small U-Net (1.1 M parameters) and the CNN classifier."""

if __name__ == "__main__":
    sys.exit(main())
