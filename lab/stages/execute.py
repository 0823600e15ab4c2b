"""Run an experiment: every stage of its plan that is not in the store yet, in order."""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext

from lab.config.schema import Experiment, TrainerConfig
from lab.stages.artefact import Artefact
from lab.stages.graph import Node
from lab.stages.interruption import STOP, stopped
from lab.stages.loggers import NOBODY, Tracking
from lab.stages.store import Store
from lab.stages.world import World, agree, agree_any

Done = Callable[[Node, Artefact, bool], None]


def execute(
    nodes: Sequence[Node],
    store: Store,
    world: World,
    done: Done = lambda *_: None,
    *,
    tracking: Tracking = NOBODY,
) -> dict[str, Artefact]:
    """Artefacts of all nodes by stage name. Called on every rank; rank 0 decides what is cached and holds the locks.

    done: called on rank 0 after each stage with (node, artefact, whether it ran here).
    tracking: the loggers that hear of the stages that run here.
    """
    artefacts: dict[str, Artefact] = {}
    with STOP:
        for place, node in enumerate(nodes, start=1):
            if signum := agree_any(STOP.signum, world):
                raise stopped(signum, f"before stage '{node.name}'")
            label = f"[{place}/{len(nodes)}] {node.name}"
            inputs = {role: artefacts[source] for role, source in node.inputs.items()}
            ran = ensure(node, inputs, store, world, label, tracking=tracking)
            artefact = store.get(str(node.key))
            assert artefact is not None
            artefacts[node.name] = artefact
            if world.is_first:
                if not ran:
                    say(f"{label}: cached ({node.stage.verb}, {node.key})")
                done(node, artefact, ran)
    return artefacts


def ensure(
    node: Node,
    inputs: Mapping[str, Artefact],
    store: Store,
    world: World,
    label: str,
    *,
    tracking: Tracking = NOBODY,
) -> bool:
    """Have the artefact of a node in the store; returns whether it was computed here."""
    assert node.key is not None
    if agree(store.get(node.key) is not None, world):
        return False
    with store.lock(node.key, _waiting(label, node.name)) if world.is_first else nullcontext():
        missing: bool = agree(store.get(node.key) is None, world)
        if missing:
            _run(node, inputs, store, world, label, tracking)
    return missing


def _waiting(label: str, name: str) -> Callable[[], None]:
    """To be called again and again while another run computes a stage: says so once, and stops on a signal."""
    lines = iter([f"{label}: another run is computing this stage; waiting for it"])

    def waiting() -> None:
        for line in lines:
            say(line)
        STOP.obey(f"while waiting for stage '{name}'")

    return waiting


def _run(
    node: Node, inputs: Mapping[str, Artefact], store: Store, world: World, label: str, tracking: Tracking
) -> None:
    from lab.stages.runner import run_stage

    resumed = world.is_first and any((store.root / "work" / str(node.key)).glob("*"))
    if world.is_first:
        say(f"{label}: {node.stage.verb}{' goes on' if resumed else ''} ({node.key})")
    begun = time.monotonic()
    artefact = run_stage(node, inputs, store, world, label=label, tracking=tracking)
    gc.collect()  # a Trainer and its module hold each other; their memory should be free for the next stage
    if world.is_first:
        shown = ", ".join(f"{name} {value:.4g}" for name, value in list(artefact.metrics.items())[:4])
        say(f"{label}: done in {time.monotonic() - begun:.1f} s{': ' + shown if shown else ''}")


def set_threads(trainer: TrainerConfig, world: World) -> None:
    """CPU threads of this process: as configured, or the cores divided by the processes on this machine."""
    import torch

    local = int(os.environ.get("LOCAL_WORLD_SIZE", world.size))
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = int(os.environ.get("OMP_NUM_THREADS", available))
    torch.set_num_threads(trainer.threads or max(1, min(asked, available // max(local, 1))))


def world_of(experiment: Experiment) -> World:
    """Meet the other processes of this run and set this one up."""
    from lab.stages.world import join

    world = join(experiment.trainer.devices, experiment.trainer.nodes)
    set_threads(experiment.trainer, world)
    return world


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
