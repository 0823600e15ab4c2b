"""A package outside lab with a module, a data module and an experiment of its own: a linear regression with noise."""

from pathlib import Path

from lab.registry import Component, Plugin

PLUGIN = Plugin(
    "toy",
    summary="linear regression, for tests",
    experiments=Path(__file__).parent / "experiments",
    components=(
        Component("module", "toy/linear", "toy_plugin.config:LinearConfig", "toy_plugin.module:Linear", "linear model"),
        Component("data", "toy/plane", "toy_plugin.config:PlaneConfig", "toy_plugin.module:Plane", "points of a plane"),
    ),
)
