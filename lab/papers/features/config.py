"""Options of the feature stage and of its rows as data. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lab.config.fields import option
from lab.networks.config import NetworkConfig


@dataclass
class FeaturesConfig:
    """Which backbone sees the images, and how its features are kept."""

    network: NetworkConfig = option(
        factory=NetworkConfig,
        help="backbone, its weights, and how its input is prepared; with `needs: {model: STAGE}` that stage's is taken",
    )
    storage: Literal["float32", "float16"] = option(
        "float32", "type of the numbers on disk; float16 takes half the space and keeps three digits"
    )


@dataclass
class FeatureRowsConfig:
    """Nothing to choose: the rows are those of the stages under `needs`."""
