"""What loggers are told: the points of `curves.csv` and the metrics of the finished stage, each once."""

from __future__ import annotations

import csv
import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.stages import loggers
from lab.stages.artefact import CURVES
from lab.stages.loggers import OPENERS, TENSORBOARD
from tests.stages.toy import Killed, artefact, fit, outcome

LINE = """
name: line
data: {name: toy/plane, rows: 21}
trainer: {max_epochs: 3, batch_size: 4, recovery_seconds: 1e9, log_every: 2}
stages:
  first: {verb: fit, module: {name: toy/linear}}
  table: {verb: predict, weights: first}
  check: {verb: test, weights: first}
"""

Points = list[tuple[int, str, float]]


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("line") / "line.yaml"
    path.write_text(LINE)
    return path


@pytest.fixture(scope="module")
def whole(line: Path) -> Path:
    """A finished run with the default logger."""
    assert fit(line.parent / "whole", config=line) == 0
    return line.parent / "whole"


@pytest.fixture
def broken_off(line: Path, tmp_path: Path):
    """Starts a run twice: it stops with a checkpoint after step 6, goes on from there and dies after step 13."""

    def run(*overrides: str) -> tuple[Path, tuple[str, ...]]:
        module = "stages.first.module"
        options = (f"{module}.stop_at=6", f"{module}.die_at=13", f"{module}.mark={tmp_path / 'mark'}", *overrides)
        assert fit(tmp_path / "runs", *options, config=line) == 143
        with pytest.raises(Killed):
            fit(tmp_path / "runs", *options, config=line)
        return tmp_path / "runs", options

    return run


class Listener:
    """A logger that only remembers, like a server that can take nothing back."""

    def __init__(self) -> None:
        self.heard: Points = []
        self.experiment = self
        self.ended: list[int] = []

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        self.heard += [(step, name, value) for name, value in metrics.items()]

    def finish(self, exit_code: int) -> None:
        self.ended.append(exit_code)


def told_of(runs: Path, stage: str) -> Points:
    """What loggers have to be told of a stage."""
    made = artefact(runs, stage)
    path, own = made.path / CURVES, made.metrics
    if not path.exists():
        return [(0, name, value) for name, value in own.items()]
    with path.open() as handle:
        points = [(int(step), name, float(value)) for step, name, value in list(csv.reader(handle))[1:]]
    return [*points, *((int(own["steps"]), name, own[name]) for name in ("steps", "epochs", "kept_step"))]


def events(folder: Path) -> Points:
    """What TensorBoard shows of a folder."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder)).Reload()
    return [(point.step, tag, point.value) for tag in found.Tags()["scalars"] for point in found.Scalars(tag)]


def same(found: Points, wanted: Points) -> None:
    """In any order, in single precision."""
    assert sorted(point[:2] for point in found) == sorted(point[:2] for point in wanted)
    for ours, theirs in zip(sorted(found), sorted(wanted), strict=True):
        assert ours[2] == pytest.approx(theirs[2], rel=1e-6)


@pytest.mark.parametrize("stage", ["first", "table", "check"])
def test_tensorboard_by_default(whole, stage) -> None:
    wanted = told_of(whole, stage)
    assert {name for _, name, _ in wanted} >= {
        "first": {"train/loss", "val/loss", "steps", "epochs", "kept_step"},
        "table": {"mean_y", "noise"},
        "check": {"test/loss"},
    }[stage]
    same(events(artefact(whole, stage).path / TENSORBOARD), wanted)


def test_no_logger(line, whole, tmp_path) -> None:
    assert fit(tmp_path, "loggers=[]", config=line) == 0
    assert not list(tmp_path.rglob("*tfevents*"))
    assert outcome(tmp_path, "first") == outcome(whole, "first")
    assert artefact(tmp_path, "check").key == artefact(whole, "check").key


def test_a_resumed_run_tells_no_point_twice(broken_off, line, monkeypatch) -> None:
    listener = Listener()
    monkeypatch.setitem(OPENERS, "wandb", lambda stage, step: listener)
    monkeypatch.setattr(loggers, "find_spec", lambda name: json.__spec__)
    runs, options = broken_off("loggers=[wandb,tensorboard]", "stages.table=null", "stages.check=null")
    assert max(step for step, _, _ in listener.heard) == 12
    assert listener.ended == [1, 1]
    assert fit(runs, *options, config=line) == 0
    assert listener.ended == [1, 1, 0]
    same(listener.heard, told_of(runs, "first"))
    folder = artefact(runs, "first").path / TENSORBOARD
    assert len(list(folder.iterdir())) == 3
    same(events(folder), told_of(runs, "first"))


def test_a_run_that_died_before_its_first_checkpoint_begins_anew(line, tmp_path) -> None:
    module = "stages.first.module"
    options = (f"{module}.die_at=7", f"{module}.mark={tmp_path / 'mark'}", "stages.table=null", "stages.check=null")
    with pytest.raises(Killed):
        fit(tmp_path / "runs", *options, config=line)
    assert fit(tmp_path / "runs", *options, config=line) == 0
    folder = artefact(tmp_path / "runs", "first").path / TENSORBOARD
    assert len(list(folder.iterdir())) == 1
    same(events(folder), told_of(tmp_path / "runs", "first"))


@pytest.mark.parametrize("fails", ["to open", "to log", "to close"])
def test_a_logger_that_fails_is_left_out(line, whole, tmp_path, monkeypatch, capsys, fails) -> None:
    class Failing(Listener):
        def log_metrics(self, metrics: dict[str, float], step: int) -> None:
            super().log_metrics(metrics, step)
            if fails == "to log" and step == 4:
                raise OSError("no route to host\nsecond line")

        def finish(self, exit_code: int) -> None:
            raise OSError("no route to host\nsecond line")

    failing = Failing()

    def open_it(stage: Any, step: int) -> Failing:
        if fails == "to open":
            raise OSError("no route to host\nsecond line")
        return failing

    monkeypatch.setitem(OPENERS, "wandb", open_it)
    monkeypatch.setattr(loggers, "find_spec", lambda name: json.__spec__)
    assert fit(tmp_path, "loggers=[wandb,tensorboard]", "stages.table=null", "stages.check=null", config=line) == 0
    warnings = [text for text in capsys.readouterr().err.splitlines() if "warning" in text]
    assert warnings == [
        "[1/1] first: warning: logger 'wandb' failed and is left out from here on: no route to host second line"
    ]
    assert outcome(tmp_path, "first") == outcome(whole, "first")
    same(events(artefact(tmp_path, "first").path / TENSORBOARD), told_of(tmp_path, "first"))
    assert max([step for step, _, _ in failing.heard], default=0) == {"to open": 0, "to log": 4, "to close": 15}[fails]


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_package_that_is_missing(line, tmp_path, monkeypatch, capsys, name) -> None:
    monkeypatch.setattr(loggers, "find_spec", lambda package: None)
    assert fit(tmp_path, f"loggers=[{name}]", config=line) == 2
    assert capsys.readouterr().err == (
        f"lab: error: loggers: '{name}' needs the package {name}, which is not installed: "
        f"install it, with the extra `lab[{name}]`, or take '{name}' out of `loggers`\n"
    )
    assert not list(tmp_path.iterdir())


def test_a_folder_is_no_package(line, tmp_path, monkeypatch, capsys) -> None:
    """W&B leaves a folder of its own name where it runs."""
    (tmp_path / "mlflow").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "mlflow", raising=False)
    assert loggers.find_spec("mlflow") is not None
    assert fit(tmp_path / "runs", "loggers=[mlflow]", config=line) == 2
    assert "needs the package mlflow" in capsys.readouterr().err


def test_an_unknown_name(line, tmp_path, capsys) -> None:
    assert fit(tmp_path, "loggers=[tensorbord]", config=line) == 2
    assert capsys.readouterr().err == (
        "lab: error: command line: loggers: expected a list of one of tensorboard, wandb, mlflow, got ['tensorbord']\n"
    )


def test_mlflow(broken_off, line, monkeypatch) -> None:
    mlflow = pytest.importorskip("mlflow", reason="the extra lab[mlflow] is not installed")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    runs, options = broken_off("loggers=[mlflow]", "stages.table=null")
    assert fit(runs, *options, config=line) == 0
    client = mlflow.MlflowClient((runs / "mlruns").as_uri())
    (experiment,) = (found for found in client.search_experiments() if found.name == "line")
    found = {run.data.tags["lab.stage"]: run for run in client.search_runs([experiment.experiment_id])}
    assert set(found) == {"first", "check"}
    for stage, run in found.items():
        assert run.info.status == "FINISHED"
        assert run.data.tags["lab.key"] == artefact(runs, stage).key
        history = [point for name in run.data.metrics for point in client.get_metric_history(run.info.run_id, name)]
        same([(point.step, point.key, point.value) for point in history], told_of(runs, stage))
    assert {run.data.tags["lab.run"] for run in found.values()} == {
        path.parent.name for path in runs.glob("*/run.json")
    }


def test_wandb_offline(broken_off, line, monkeypatch) -> None:
    pytest.importorskip("wandb", reason="the extra lab[wandb] is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    runs, options = broken_off("loggers=[wandb]", "stages.table=null", "stages.check=null")
    assert fit(runs, *options, config=line) == 0
    key = artefact(runs, "first").key
    parts = sorted((runs / "wandb").glob(f"offline-run-*-{key}*/run-{key}.wandb"))
    records = [record for part in parts for record in wandb_records(part)]
    started = [record.run for record in records if record.HasField("run")]
    assert {run.project for run in started} == {"line"}
    assert {run.run_group for run in started} == {path.parent.name for path in runs.glob("*/run.json")}
    points: Points = []
    for record in records:
        if record.HasField("history"):
            row = {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item}
            step = row.pop("trainer/global_step", None)
            points += [(step, name, value) for name, value in row.items() if not name.startswith("_")]
    same(points, told_of(runs, "first"))


def wandb_records(path: Path) -> Iterator[Any]:
    """The records of W&B's file: a LevelDB log of blocks of 32 KiB behind a header of 7 bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, at, held = path.read_bytes(), 7, b""
    while at + 7 <= len(content):
        if 32768 - at % 32768 < 7:  # the end of a block, too short for a record's header
            at += 32768 - at % 32768
            continue
        _, length, kind = struct.unpack_from("<IHB", content, at)
        held += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part of several
            record = Record()
            record.ParseFromString(held)
            held = b""
            yield record
