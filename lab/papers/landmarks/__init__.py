"""Landmarks in x-rays: what the papers on diffusion pre-training and on in-domain transfer share."""

from __future__ import annotations

from lab.registry import Component, Plugin

_HERE = "lab.papers.landmarks"

PLUGIN = Plugin(
    "landmarks",
    summary="landmarks in x-rays: few-shot fine-tuning, shared by two papers",
    components=(
        Component(
            "module",
            "landmarks/heatmaps",
            f"{_HERE}.config:LandmarkModuleConfig",
            f"{_HERE}.module:LandmarkModule",
            "a map for each landmark: training from random, ImageNet or another stage's weights",
        ),
    ),
)
