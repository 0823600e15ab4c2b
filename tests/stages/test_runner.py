"""What a stage refuses, and what it leaves behind when it fails: nothing half-made, and one line with a status of 2."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
import torch

from lab.data.module import Loading
from lab.stages.process import quiet_lightning
from tests.stages.toy import artefact, fit, outcome

TWO = """
name: two
data: {name: toy/plane, rows: 20}
trainer: {max_epochs: 2, batch_size: 4, recovery_seconds: 0}
stages:
  first: {verb: fit, module: {name: toy/linear}}
  second: {verb: fit, module: {name: toy/linear}, weights: first, needs: {teacher: first}}
  check: {verb: validate, weights: first}
  table: {verb: predict, weights: first}
"""


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("two") / "two.yaml"
    path.write_text(TWO)
    return path


@pytest.fixture(scope="module")
def done(two: Path) -> Path:
    """A finished run."""
    assert fit(two.parent / "done", config=two) == 0
    return two.parent / "done"


@pytest.fixture
def refused(two: Path, tmp_path: Path, capsys):
    """The line with which `lab fit` of these overrides ends."""

    def run(*overrides: str) -> str:
        assert fit(tmp_path, *overrides, config=two) == 2
        *_, line = capsys.readouterr().err.splitlines()
        return line.removeprefix("lab: error: ")

    return run


def test_inputs_and_weights(done) -> None:
    first, second = artefact(done, "first"), artefact(done, "second")
    assert second.manifest["stage"]["inputs"] == {"weights": first.key, "teacher": first.key}
    assert second.metrics["val/loss"] < first.metrics["val/loss"]  # a warm start


def test_the_split_that_is_read(done, two, tmp_path) -> None:
    """Validate reads what it was told to; default "val", 11 rows, whose loss the fit measured."""
    assert artefact(done, "check").metrics["val/loss"] == pytest.approx(artefact(done, "first").metrics["val/loss"])
    assert len(artefact(done, "table").table()["index"]) == 20
    assert fit(tmp_path, "stages.check.split=train", "stages.table.split=test", config=two) == 0
    assert artefact(tmp_path, "check").metrics["val/loss"] != artefact(done, "check").metrics["val/loss"]
    assert len(artefact(tmp_path, "table").table()["index"]) == 13


def test_the_initialisation_depends_on_the_seed_alone(done, two, tmp_path) -> None:
    torch.manual_seed(1)
    assert fit(tmp_path, config=two) == 0
    assert outcome(tmp_path, "first") == outcome(done, "first")
    torch.manual_seed(0)
    assert fit(tmp_path / "other", "seed=1", config=two) == 0
    assert outcome(tmp_path / "other", "first") != outcome(done, "first")


def test_run_time_options_do_not_change_what_comes_out(done, two, tmp_path) -> None:
    options = (
        "trainer.workers=1",
        "trainer.log_every=1000",
        "trainer.recovery_seconds=1e9",
        "trainer.eval_batch_size=3",
    )
    assert fit(tmp_path, *options, "stages.check.enabled=false", config=two) == 0
    assert artefact(tmp_path, "second").metrics == pytest.approx(artefact(done, "second").metrics, rel=1e-5)
    assert (artefact(tmp_path, "second").path / "weights.safetensors").read_bytes() == (
        artefact(done, "second").path / "weights.safetensors"
    ).read_bytes()


def test_weights_of_another_architecture(refused, tmp_path) -> None:
    line = refused("stages.second.data.name=toy/plane", "stages.second.data.width=5")
    (key,) = (path.name for path in (tmp_path / "store").iterdir())
    assert line == (
        f"stage 'second': weights of a 'toy/linear' (artefact {key}) don't fit its module: size mismatch for "
        "network.1.weight: copying a param with shape torch.Size([1, 4]) from checkpoint, the shape in current model "
        "is torch.Size([1, 5])."
    )


def test_an_accelerator_that_is_not_there(refused, monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert refused("trainer.accelerator=gpu") == (
        "trainer.accelerator=gpu, but torch sees no GPU here; use trainer.accelerator=auto or cpu"
    )


def test_a_split_without_rows(refused, monkeypatch) -> None:
    monkeypatch.setattr("toy_plugin.module.Plane.has_split", lambda self, split: split != "train")
    assert refused() == "stage 'table': data 'toy/plane' has no rows in split 'train'"


@pytest.mark.parametrize("why", ["validate_every", "split", "module"])
def test_a_monitor_that_is_never_measured(refused, monkeypatch, why) -> None:
    if why == "split":
        monkeypatch.setattr("toy_plugin.module.Plane.has_split", lambda self, split: False)
    if why == "module":
        monkeypatch.delattr("toy_plugin.module.Linear.validation_step")
    every = f"trainer.validate_every={0 if why == 'validate_every' else 1}"
    line = refused("trainer.monitor=val/loss", "trainer.select=best", every)
    assert line.startswith("stage 'first': monitor 'val/loss' would never be measured: it needs")


def test_a_monitor_that_the_module_does_not_know(refused) -> None:
    line = refused("trainer.monitor=val/los", "trainer.select=best")
    assert line == "stage 'first': monitor 'val/los' is no validation metric; known: val/loss"


def test_fewer_rows_than_parts(refused) -> None:
    line = refused("data.rows=3", "trainer.accumulate=4")
    assert line == "3 training rows can't be divided over 4 parts (devices x accumulate)"


def test_metrics_that_are_not_numbers(two, tmp_path, monkeypatch) -> None:
    from toy_plugin.module import Linear

    monkeypatch.setattr(Linear, "validation_step", lambda self, *_: self.log("val/loss", float("nan"), batch_size=1))
    best = ("trainer.select=best", "trainer.monitor=val/loss")
    assert fit(tmp_path, *best, config=two) == 0
    found = artefact(tmp_path, "first")
    assert json.loads((found.path / "metrics.json").read_text())["val/loss"] is None
    assert found.metrics["val/loss"] != found.metrics["val/loss"]
    assert found.metrics["steps"] == 10


@pytest.mark.parametrize(
    "file", ["weights.safetensors", "table.safetensors", "metrics.json", "artefact.json", "curves"]
)
def test_a_full_disk(file, done, two, refused, tmp_path, monkeypatch) -> None:
    """No space for one file; then there is some."""
    target = "lab.stages.recovery.save_file" if file == "weights.safetensors" else "lab.stages.predictions._join"

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        if file.endswith(".safetensors"):
            patch.setattr(target, full)
        elif file == "curves":
            patch.setattr("lab.stages.recovery.io.StringIO", full)
        else:
            write = Path.write_text
            patch.setattr(Path, "write_text", lambda path, *a: full() if file in path.name else write(path, *a))
        line = refused()
    assert line.startswith("no space left on the disk while writing ")
    assert line.endswith(f"under {tmp_path}; nothing was damaged: free some space and run the same command again") or (
        str(tmp_path) in line
    )
    for path in (tmp_path / "store").glob("*"):
        assert (path / "artefact.json").exists()
    assert not list(tmp_path.rglob("*.tmp"))
    assert fit(tmp_path, config=two) == 0
    assert outcome(tmp_path, "second") == outcome(done, "second")
    assert artefact(tmp_path, "table").metrics == artefact(done, "table").metrics


def test_a_disk_that_stays_full(two, refused, tmp_path, file_size_limit) -> None:
    """Nothing can be written any more, not even the run's record: still one line."""
    with file_size_limit(1200):
        line = refused()
    assert line.startswith("no space left on the disk while writing ")
    assert fit(tmp_path, config=two) == 0


def test_evaluation_on_devices_without_rows() -> None:
    """Every device gets rows; else it would not log what the others wait for."""
    from toy_plugin.config import PlaneConfig
    from toy_plugin.module import Plane

    for world in (1, 2, 3, 13):
        loaders = [
            Plane(PlaneConfig(rows=20), Loading(eval_batch_size=256, rank=rank, world=world)).test_dataloader()
            for rank in range(world)
        ]
        rows = [[batch.index for batch in loader] for loader in loaders]
        assert all(rows)
        assert sorted(torch.cat([index for batches in rows for index in batches]).tolist()) == list(range(13))


def test_a_quiet_trainer_leaves_logging_as_it_was() -> None:
    import logging

    logger = logging.getLogger("lightning.pytorch")
    before = logger.level
    with quiet_lightning():
        assert logger.level == logging.ERROR
    assert logger.level == before
