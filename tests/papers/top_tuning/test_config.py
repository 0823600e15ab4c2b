"""Options of top-tuning's stages: registered, light, and checked."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lab.papers import features, top_tuning
from lab.papers.top_tuning import config


def test_every_component_can_be_loaded_and_has_help() -> None:
    for component in (*top_tuning.PLUGIN.components, *features.PLUGIN.components):
        assert component.target_class()
        options = component.config_class()
        assert not list(getattr(options(), "check", tuple)())
        assert all(f.metadata.get("help") for f in options.__dataclass_fields__.values())


def test_options_are_read_without_torch_and_scikit_learn() -> None:
    code = (
        "import sys, lab.papers.top_tuning.config, lab.papers.features.config, lab.papers.top_tuning; "
        "sys.exit(bool({'torch', 'sklearn'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("broken", "keys"),
    [
        (config.FalkonHeadConfig(sigma=[], penalty=[0.0], M=[0], maxiter=0), ["sigma", "penalty", "M", "maxiter"]),
        (config.RidgeHeadConfig(penalty=[-1.0]), ["penalty"]),
        (config.LogisticHeadConfig(c=[], maxiter=0), ["c", "maxiter"]),
        (config.KernelRidgeHeadConfig(sigma=[-1.0], penalty=[]), ["sigma", "penalty"]),
        (config.SvcHeadConfig(c=[0.0]), ["c"]),
        (config.ProbeConfig(lr=0.0), ["lr"]),
        (config.BestOfConfig(monitor="test/accuracy"), ["monitor"]),
    ],
)
def test_broken_rules_name_their_option(broken, keys) -> None:
    assert [key for key, _ in broken.check()] == keys
