"""Features of frozen backbones: made once for a split by a predict stage, kept in the store, and read as a data set."""

from __future__ import annotations

from lab.registry import Component, Plugin

_HERE = "lab.papers.features"

PLUGIN = Plugin(
    "features",
    summary="features of frozen backbones, made once and shared",
    components=(
        Component(
            "module",
            "features",
            f"{_HERE}.config:FeaturesConfig",
            f"{_HERE}.stage:Features",
            "features of each image from a frozen backbone (timm, torchvision, open_clip, or a fitted stage)",
        ),
        Component(
            "data",
            "features",
            f"{_HERE}.config:FeatureRowsConfig",
            f"{_HERE}.data:FeatureData",
            "rows of feature stages: `needs: {train: STAGE, val: STAGE, test: STAGE}`",
        ),
    ),
)
