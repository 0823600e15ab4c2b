from __future__ import annotations

from types import SimpleNamespace

import pytest

from lab.cli import main
from lab.config import resolve
from tests.config.fake_paper import EXPERIMENT, fake_plugin, write

__all__ = ["fake_plugin", "write"]


@pytest.fixture(autouse=True)
def plan(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan in which the fit is cached and the data of the test is absent."""

    def planned(experiment):
        inputs = {"erm": {}, "erm_test": {"weights": "erm"}}
        keys = {"erm": "abc123", "erm_test": None}
        return [
            SimpleNamespace(name=n, stage=s, inputs=inputs[n], key=keys[n], cached=keys[n] is not None)
            for n, s in experiment.stages.items()
        ]

    monkeypatch.setattr("lab.stages.graph.plan", planned)


def test_the_resolved_experiment_and_its_stages(write, capsys) -> None:
    path = write(EXPERIMENT + "profiles: {smoke: {trainer: {max_steps: 2}}}\n")
    assert main(["show", "seed=3", str(path), "--profile", "smoke", "stages.erm.module.lr=1"]) == 2
    capsys.readouterr()
    assert main(["show", str(path), "seed=3", "--profile", "smoke", "stages.erm.module.lr=1"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-3:] == [
        "# stages, in order: verb, what they read, state",
        "#   erm       fit                 cached as abc123",
        "#   erm_test  test  weights: erm  to run; its data is not here yet",
    ]
    assert "#" not in out.partition("# stages")[0]
    again = resolve(write(out, "again.yaml"))
    first = resolve(path, profiles=["smoke"], overrides=["seed=3", "stages.erm.module.lr=1"])
    assert again.experiment == first.experiment


def test_origins(write, capsys) -> None:
    assert main(["show", str(write()), "--origin", "seed=3"]) == 0
    lines = [line.split("  # ") for line in capsys.readouterr().out.splitlines()]
    shown = {text.strip(): origin[0] for text, *origin in lines if origin}
    assert shown["seed: 3"] == "command line"
    assert shown["lr: 0.01"] == "x.yaml:9"
    assert shown["batch_size: 64"] == "default"


def test_problems(write, capsys) -> None:
    assert main(["show", str(write()), "sed=3", "stages.erm.module.lrr=2"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "lab: error: command line: sed: unknown key; did you mean 'seed' or 'seeds'?",
        "lab: error: command line: stages.erm.module.lrr: unknown key; did you mean 'lr'?",
    ]
    assert main(["show", str(write()), "seed"]) == 2
    assert capsys.readouterr().err == "lab: error: command line: expected key=value, got 'seed'\n"
