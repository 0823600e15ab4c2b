"""Every experiment that ships runs end to end in its smoke profile. The list is found on disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lab.cli import main
from lab.config import resolve

EXPERIMENTS = sorted((Path(__file__).parents[1] / "experiments").glob("*.yaml"))


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_it_runs_and_is_cached_when_asked_again(path, tmp_path, capfd):
    command = ["fit", "--config", str(path), "--profile", "smoke", f"runs_dir={tmp_path}"]
    assert main(command) == 0
    run = next(tmp_path.glob(f"{path.stem}-*"))
    record = json.loads((run / "run.json").read_text())
    assert record["status"] == "finished"
    assert "ran" in {stage["state"] for stage in record["stages"].values()}  # two equal stages: one runs
    for name in ("config.yaml", "origins.json", "environment.json", "report.html", "report.md"):
        assert (run / name).stat().st_size > 0
    assert not list((tmp_path / "work").glob("*/*"))
    first = capfd.readouterr()

    assert main(command) == 0
    second = capfd.readouterr()
    assert "everything is cached" in second.err
    assert second.out == first.out
    assert {s["state"] for s in json.loads((run / "run.json").read_text())["stages"].values()} == {"cached"}


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_its_resolved_form_is_the_same_experiment(path, tmp_path):
    resolved = resolve(path)
    saved = tmp_path / "config.yaml"
    saved.write_text(resolved.to_yaml())
    assert resolve(saved).experiment == resolved.experiment
