"""The slots of this machine: one a GPU, or the CPU's cores divided."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from lab.config.schema import TrainerConfig

MEMORY_OF_A_SLOT = 3.0
"""GiB that one CPU slot is taken to need, where the number of slots is not given."""


@dataclass(frozen=True)
class Slot:
    """Room for one process. gpu: as `CUDA_VISIBLE_DEVICES` names it; None computes on the CPU. threads: of the CPU."""

    index: int
    gpu: str | None
    threads: int


def slots(trainers: Sequence[TrainerConfig], jobs: int | None) -> list[Slot]:
    """The slots for experiments with these trainers; never more than there are GPUs or cores.

    jobs: how many are wanted; None: all GPUs, or as many CPU slots as cores, memory and `trainer.threads` allow.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    on_gpu = any(trainer.accelerator != "cpu" for trainer in trainers)
    if on_gpu and (found := gpus()):
        chosen = found[: jobs or len(found)]
        return [Slot(i, gpu, max(1, cores // len(chosen))) for i, gpu in enumerate(chosen)]
    threads = max([trainer.threads or 1 for trainer in trainers], default=1)
    room = max(1, cores // threads)
    if jobs is None:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
        jobs = max(1, min(room, int(memory // MEMORY_OF_A_SLOT)))
    number = min(jobs, room)
    return [Slot(i, None, cores // number) for i in range(number)]


def gpus() -> list[str]:
    """The GPUs that this process may use, without loading torch."""
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is not None:
        return [name for name in allowed.split(",") if name.strip() and name.strip() != "-1"]
    if shutil.which("nvidia-smi") is None:
        return []
    try:
        listed = subprocess.run(
            ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"], capture_output=True, text=True, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line.strip() for line in listed.stdout.splitlines() if line.strip()] if listed.returncode == 0 else []
