"""Options of MoDAD's stages: registered, light, and checked."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lab.config.fields import as_plain
from lab.networks.config import NetworkConfig
from lab.papers.modad import PLUGIN, config
from lab.stages.module import StageModule


def test_every_component_can_be_loaded_and_has_help() -> None:
    for component in PLUGIN.components:
        assert issubclass(component.target_class(), StageModule)
        options = component.config_class()
        assert not list(getattr(options(), "check", tuple)())
        assert all(f.metadata.get("help") for f in options.__dataclass_fields__.values())


def test_options_are_read_without_torch_and_pyod() -> None:
    code = "import sys, lab.papers.modad.config, lab.papers.modad; sys.exit(bool({'torch', 'pyod'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("broken", "keys"),
    [
        (config.AnomalyConfig(error_ratio=2, fraction=-1), ["error_ratio", "fraction"]),
        (config.AnomalyConfig(fit_rows=1, sheet=-1), ["fit_rows", "sheet"]),
        (config.AnomalyConfig(oracle=True, published=True), ["oracle"]),
        (config.DebiasedConfig(loss="gce", rotation=200, views=["zoom", "zoom"]), ["loss", "rotation", "views"]),
    ],
)
def test_broken_rules_name_their_option(broken, keys) -> None:
    assert [key for key, _ in broken.check()] == keys


def test_a_network_without_the_new_layer_keeps_its_artefact_keys() -> None:
    assert "feature_dim" not in as_plain(NetworkConfig(), keep_runtime=False)
    assert as_plain(NetworkConfig(feature_dim=128), keep_runtime=False)["feature_dim"] == 128
    assert "feature_dim" in as_plain(NetworkConfig())
