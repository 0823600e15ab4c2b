"""One mistake in an experiment that ships gives one line: what only follows from it is not reported."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.config import outline, resolve
from lab.errors import ConfigError

EXPERIMENTS = Path(__file__).parents[1] / "experiments"


def lines(*overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        resolve(EXPERIMENTS / "ddb_biased_mnist.yaml", overrides=overrides)
    return str(caught.value).splitlines()


def test_an_unknown_module_that_others_refer_to():
    found = lines("stages.erm.module.name=clasifier")
    assert found == ["command line: stages.erm.module.name: unknown module 'clasifier'; did you mean 'classifier'?"]


def test_a_misspelt_stage():
    assert len(lines("stages.amplifer.module.lr=1")) == 1


def test_other_mistakes_are_still_reported():
    found = lines("stages.erm.module.name=clasifier", "data.rho=2", "stages.amplifer.module.lr=1")
    assert len(found) == 3


def test_an_outline_sees_interpolations():
    assert outline(EXPERIMENTS / "ddb_biased_mnist.yaml").data.options.bias_seed == 0
