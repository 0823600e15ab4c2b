"""Options of the debiasing modules: registered, light, and checked."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lab.config.fields import Checked
from lab.papers.debiasing import PLUGIN, config
from lab.stages.module import StageModule


def test_every_component_can_be_loaded_and_has_help() -> None:
    names = {"classifier", "group_dro", "reweighted", "lff", "jtt", "dfr", "bias_oracle"}
    assert {c.name for c in PLUGIN.components} == names
    for component in PLUGIN.components:
        assert issubclass(component.target_class(), StageModule)
        options = component.config_class()
        assert not list(options().check())
        assert all(f.metadata.get("help") for f in options.__dataclass_fields__.values())


def test_options_are_read_without_torch() -> None:
    code = "import sys, lab.papers.debiasing.config, lab.papers.debiasing; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("broken", "keys"),
    [
        (config.ClassifierConfig(gce_q=0, crop_padding=-1, resize_down=1), ["gce_q", "crop_padding", "resize_down"]),
        (config.ClassifierConfig(lr=-1), ["lr"]),
        (config.GroupDROConfig(loss="gce", eta=-1, adjustment=-1), ["loss", "eta", "adjustment"]),
        (config.ReweightedConfig(loss="gce", ema=1, w_min=-1), ["loss", "ema", "w_min"]),
        (config.ReweightedConfig(w_min=0.5, w_max=0.5), ["w_max"]),
        (config.LfFConfig(loss="gce", ema=1), ["loss", "ema"]),
        (config.JTTConfig(upweight=0.5), ["upweight"]),
        (config.DFRConfig(c=[], retrains=0), ["c", "retrains"]),
        (config.DFRConfig(c=[0.1, 0.0]), ["c"]),
        (config.BiasOracleConfig(confidence=0.5), ["confidence"]),
    ],
)
def test_broken_rules_name_their_option(broken: Checked, keys: list[str]) -> None:
    assert [key for key, _ in broken.check()] == keys
