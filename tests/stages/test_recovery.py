"""A fit that is killed and run again ends as one that was never killed, to the last bit."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path

import pytest
import torch

from lab.config import resolve
from lab.stages.graph import plan
from lab.stages.recovery import RECOVERY
from lab.stages.store import Store
from tests.stages.toy import Killed, artefact, fit, outcome, steps

ONE = """
name: one
data: {name: toy/plane, rows: 21}
trainer: {max_epochs: 3, batch_size: 4, recovery_seconds: 0, log_every: 1}
stages:
  first: {verb: fit, module: {name: toy/linear, dropout: 0.5}}
"""
WAYS = {
    "dropout": (),
    "accumulate": ("trainer.accumulate=2",),
    "steps": ("trainer.max_epochs=null", "trainer.max_steps=12"),
    "best": ("trainer.max_epochs=9", "trainer.select=best", "trainer.monitor=val/loss", "trainer.patience=2"),
    "seldom": ("trainer.recovery_seconds=1e9",),
}
"""21 rows are 5 optimiser steps an epoch; `best` runs out of patience, `steps` ends inside an epoch."""


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("one") / "one.yaml"
    path.write_text(ONE)
    return path


@pytest.fixture(scope="module")
def whole(one: Path) -> dict[str, dict[str, object]]:
    """What runs that were never killed come to."""
    found = {}
    for name, way in WAYS.items():
        runs = one.parent / name
        assert fit(runs, *way, config=one) == 0
        found[name] = outcome(runs, "first")
    return found


def test_what_the_ways_are(whole) -> None:
    assert [whole[name]["steps"] for name in WAYS] == [15, 15, 12, whole["best"]["steps"], 15]
    assert whole["best"]["steps"] == whole["best"]["kept_step"] + 2 * 5 < 45
    assert whole["dropout"] == whole["seldom"]
    assert whole["dropout"]["val/loss"] == pytest.approx(whole["accumulate"]["val/loss"], rel=0.2)
    curve = whole["steps"]["curves.csv"].decode().split()
    assert [line.split(",")[0] for line in curve if "val/loss" in line] == ["5", "10", "12"]
    assert len(curve) == 1 + 12 + 3


@pytest.mark.parametrize("way", WAYS)
def test_killed_at_any_step(way, one, whole, tmp_path) -> None:
    last = int(whole[way]["steps"])
    for step in range(1, last + 1) if way == "steps" else (1, 5, 6, last):
        runs, mark = tmp_path / str(step), tmp_path / f"{step}.mark"
        options = (*WAYS[way], f"stages.first.module.die_at={step}", f"stages.first.module.mark={mark}")
        with pytest.raises(Killed):
            fit(runs, *options, config=one)
        assert fit(runs, *options, config=one) == 0
        assert outcome(runs, "first") == whole[way], f"killed at step {step}"


@pytest.mark.parametrize("place", ["validation_step", "on_validation_epoch_end", "on_train_epoch_end", "publish"])
def test_killed_at_other_places(place, one, whole, tmp_path, monkeypatch) -> None:
    """Again and again: the first time in the first epoch, then in the second, ..."""
    from toy_plugin.module import Linear

    def die(*_):
        raise Killed

    for way in ("dropout", "steps", "best"):
        runs = tmp_path / way
        with monkeypatch.context() as patch:
            patch.setattr(*((Store, place) if place == "publish" else (Linear, place)), die)
            for _ in range(2):
                with pytest.raises(Killed):
                    fit(runs, *WAYS[way], config=one)
        assert fit(runs, *WAYS[way], config=one) == 0
        assert outcome(runs, "first") == whole[way], way


def test_killed_while_the_checkpoint_is_written(one, whole, tmp_path, monkeypatch) -> None:
    save, saved = torch.save, []

    def half(content, handle):
        saved.append(content)
        if len(saved) == 8:
            handle.write(b"half")
            raise Killed
        save(content, handle)

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(Killed):
        fit(tmp_path, *WAYS["best"], config=one)
    assert fit(tmp_path, *WAYS["best"], config=one) == 0
    assert outcome(tmp_path, "first") == whole["best"]
    assert not list(tmp_path.rglob("*.tmp"))


def test_time_and_leftovers(one, tmp_path) -> None:
    options = ("stages.first.module.die_at=7", f"stages.first.module.mark={tmp_path / 'mark'}")
    with pytest.raises(Killed):
        fit(tmp_path, *options, config=one)
    spent = json.loads(next(tmp_path.glob("work/*/spent.json")).read_text())
    assert fit(tmp_path, *options, config=one) == 0
    assert steps(tmp_path / "mark") == list(range(1, 16))  # none was done twice
    assert artefact(tmp_path, "first").manifest["made"]["seconds"] >= spent > 0
    assert not any((tmp_path / "work").iterdir())
    files = {path.name for path in artefact(tmp_path, "first").path.iterdir()}
    assert files == {"artefact.json", "weights.safetensors", "metrics.json", "curves.csv", "tensorboard"}


@pytest.fixture
def interrupted(one: Path, tmp_path: Path, capsys) -> tuple[Path, tuple[str, ...]]:
    """A run that got SIGTERM after step 7, and its overrides."""
    options = ("stages.first.module.stop_at=7", f"stages.first.module.mark={tmp_path / 'mark'}")
    assert fit(tmp_path / "runs", *options, config=one) == 143
    *_, line = capsys.readouterr().err.splitlines()
    assert line == "lab: stopped in stage 'first' at step 8; the same command goes on from there"
    return tmp_path / "runs", options


def test_sigterm(interrupted, one, whole, capsys) -> None:
    runs, options = interrupted
    assert '"status": "interrupted"' in next(runs.glob("one-*/run.json")).read_text()
    assert not (runs / "store").exists()
    assert fit(runs, *options, config=one) == 0
    assert "[1/1] first: fit goes on" in capsys.readouterr().err
    assert outcome(runs, "first") == whole["dropout"]


def test_a_damaged_checkpoint(interrupted, one, capsys) -> None:
    runs, options = interrupted
    (checkpoint,) = runs.glob(f"work/*/{RECOVERY}")
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    assert fit(runs, *options, config=one) == 2
    *_, line = capsys.readouterr().err.splitlines()
    assert line.startswith("lab: error: stage 'first' (key ")
    assert f"its recovery checkpoint {checkpoint} can't be read (" in line
    assert line.endswith("delete that file and run the same command again to train this stage from its start")
    checkpoint.unlink()
    assert fit(runs, *options, config=one) == 0


def test_a_checkpoint_of_another_experiment(interrupted, one, capsys, monkeypatch) -> None:
    runs, options = interrupted
    other = (*options, "stages.first.module.lr=1")
    with monkeypatch.context() as patch:
        patch.setattr(Store, "publish", lambda *_: pytest.fail("published"))
        (checkpoint,) = runs.glob(f"work/*/{RECOVERY}")
        key = plan(resolve(one, overrides=other).experiment)[0].key
        shutil.copytree(checkpoint.parent, checkpoint.parents[1] / key)
        assert fit(runs, *other, config=one) == 2
    *_, line = capsys.readouterr().err.splitlines()
    assert f"is of another stage: 'first' with key {checkpoint.parent.name}; delete that file" in line
    assert torch.load(checkpoint, weights_only=True)["lab"]["key"] == checkpoint.parent.name


def test_a_checkpoint_of_no_experiment(interrupted, one, capsys) -> None:
    runs, options = interrupted
    (checkpoint,) = runs.glob(f"work/*/{RECOVERY}")
    torch.save({"state_dict": {}}, checkpoint)
    assert fit(runs, *options, config=one) == 2
    assert "is of another stage: 'unknown' with key unknown" in capsys.readouterr().err


def test_a_loss_that_is_not_finite(one, tmp_path, capsys) -> None:
    mark = f"stages.first.module.mark={tmp_path / 'mark'}"
    assert fit(tmp_path, mark, "stages.first.module.nan_at=7", config=one) == 2
    *_, line = capsys.readouterr().err.splitlines()
    assert line == (
        "lab: error: stage 'first': loss or weights are not finite (NaN) at step 8 (last good checkpoint: step 7); "
        "try a smaller lr, trainer.gradient_clip or trainer.precision=32"
    )
    assert not (tmp_path / "store").exists()
    (checkpoint,) = tmp_path.glob(f"work/*/{RECOVERY}")
    assert torch.load(checkpoint, weights_only=True)["global_step"] == 7
    assert fit(tmp_path, mark, "stages.first.module.nan_at=7", "trainer.recovery_seconds=1e9", config=one) == 2
    assert "last good checkpoint: step 7" in capsys.readouterr().err


def test_weights_that_are_not_finite_are_never_saved(one, tmp_path, capsys, monkeypatch) -> None:
    from toy_plugin.module import Linear

    def spoil(self, *_):
        if self.trainer.global_step == 4:  # the loss of step 5 was finite, its gradient was not
            self.network[1].weight.data[0, 0] = float("inf")

    monkeypatch.setattr(Linear, "on_before_zero_grad", spoil)
    assert fit(tmp_path, "trainer.recovery_seconds=1e9", config=one) == 2
    assert "at step 6 (no checkpoint yet)" in capsys.readouterr().err
    assert fit(tmp_path, config=one) == 2
    assert "at step 5 (last good checkpoint: step 4)" in capsys.readouterr().err


def test_a_full_disk_at_a_checkpoint(one, whole, tmp_path, capsys, monkeypatch) -> None:
    save, saved = torch.save, []

    def full(content, handle):
        saved.append(content)
        if len(saved) > 7:
            handle.write(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        save(content, handle)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        assert fit(tmp_path, config=one) == 2
    *_, line = capsys.readouterr().err.splitlines()
    assert "error: no space left on the disk while writing a recovery checkpoint under" in line
    assert not list(tmp_path.rglob("*.tmp"))
    assert fit(tmp_path, config=one) == 0
    assert outcome(tmp_path, "first") == whole["dropout"]
