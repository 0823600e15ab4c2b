from dataclasses import dataclass


@dataclass
class LinearConfig:
    lr: float = 0.05
    dropout: float = 0.0
    noise: float = 0.1
    die_at: int = -1
    """Optimiser step at which the process kills itself, once: a file `died` beside it remembers."""
    stop_at: int = -1
    """Optimiser step at which the process sends itself SIGTERM, once."""
    nan_at: int = -1
    mark: str = ""
    """File that the above remember in, and that counts the optimiser steps taken."""


@dataclass
class PlaneConfig:
    rows: int = 50
    width: int = 4
    seed: int = 0
