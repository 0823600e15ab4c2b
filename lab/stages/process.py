"""What a stage does to the process that it runs in: its random numbers, its memory, and what Lightning prints."""

from __future__ import annotations

import logging
import random
import resource
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import torch


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def reset_peak_memory() -> None:
    """Begin to measure the peak anew."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory() -> int:
    """MiB since the reset: of the GPU where one was used, of this process otherwise."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return round(torch.cuda.max_memory_allocated() / 2**20)
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return round(int(line.split()[1]) / 1024)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Without Lightning's advice: what it warns of here is decided by the framework."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric", "lightning_fabric")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        for text in (
            "does not have many workers",
            "dataloader is not resumable",
            "GPU available but not used",
            "loggers",
            "in eval mode at the start of training",
            "sync_dist=True",
            "lr_scheduler.step",
            "LeafSpec",
        ):
            warnings.filterwarnings("ignore", message=f".*{text}.*")
        try:
            yield
        finally:
            for logger, level in zip(loggers, before, strict=True):
                logger.setLevel(level)
