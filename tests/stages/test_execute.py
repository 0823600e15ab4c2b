"""What runs, what is taken from the store, and who waits for whom."""

from __future__ import annotations

import os
import shutil
import signal
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.stages.store import Store
from tests.stages.toy import artefact, finished, fit, outcome, start, steps


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of toy_line."""
    runs = tmp_path_factory.mktemp("line")
    assert fit(runs) == 0
    return runs


def test_the_artefacts(line) -> None:
    first, table = artefact(line, "first"), artefact(line, "table")
    assert first.metrics.keys() == {"val/loss", "steps", "epochs", "kept_step"}
    assert (first.metrics["steps"], first.metrics["epochs"]) == (24, 4)
    assert first.manifest["stage"]["seed"] == 0
    made = first.manifest["made"]
    assert made["devices"] == 1
    assert made["seconds"] > 0
    assert made["environment"]["packages"]["torch"]
    columns = table.table()
    assert columns["index"].tolist() == list(range(50))
    assert table.metrics["mean_y"] == pytest.approx(columns["y"].mean().item())
    assert artefact(line, "second").metrics["val/loss"] < first.metrics["val/loss"] / 5
    assert artefact(line, "second_test").metrics.keys() == {"test/loss"}


def test_again(line, capsys, monkeypatch) -> None:
    monkeypatch.setattr("lab.stages.runner.run_stage", lambda *_, **__: pytest.fail("something ran"))
    environment = next(line.glob("*/environment.json"))
    before = environment.stat().st_mtime_ns
    assert fit(line, "trainer.log_every=3", "trainer.devices=2") == 0  # nor is another process started
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert [text.partition(" (")[0] for text in lines[:4]] == [
        f"[{place}/4] {name}: cached" for place, name in enumerate(("first", "table", "second", "second_test"), start=1)
    ]
    assert lines[4].startswith("everything is cached; nothing was trained (")
    assert "second test" in out
    assert f"{artefact(line, 'second_test').metrics['test/loss']:.4g}" in out
    assert environment.stat().st_mtime_ns == before


def test_another_last_stage(line, tmp_path, capsys) -> None:
    os.symlink(line / "store", tmp_path / "store")
    assert fit(tmp_path, "stages.second.module.lr=0.02") == 0
    err = capsys.readouterr().err
    assert "[1/4] first: cached" in err
    assert "[2/4] table: cached" in err
    assert "[3/4] second: fit (" in err
    assert "[4/4] second_test: test (" in err
    assert artefact(tmp_path, "first").key == artefact(line, "first").key
    assert artefact(tmp_path, "second").key != artefact(line, "second").key


def test_two_runs_share_a_stage_and_one_is_killed(line, tmp_path) -> None:
    """Two commands at the same time: SIGKILL ends one in `first` at step 3, the other goes on and dies in `table`."""
    mark = tmp_path / "mark"
    shared = (f"stages.first.module.mark={mark}", "stages.first.module.die_at=3")
    both = [start(tmp_path / "runs", *shared, f"stages.second.module.lr={lr}") for lr in ("0.01", "0.02")]
    ends = [finished(process) for process in both]
    assert [status for status, _ in ends] == [-signal.SIGKILL] * 2, ends
    assert any("[1/4] first: done" in output for _, output in ends)
    assert steps(mark) == list(range(1, 25))  # each step once, by either
    for path in (tmp_path / "runs").glob("toy_line*"):
        shutil.rmtree(path)
    assert fit(tmp_path / "runs", *shared) == 0
    assert outcome(tmp_path / "runs", "first") == outcome(line, "first")
    assert outcome(tmp_path / "runs", "second") == outcome(line, "second")
    table = artefact(tmp_path / "runs", "table").path / "table.safetensors"
    assert table.read_bytes() == (artefact(line, "table").path / "table.safetensors").read_bytes()


def test_a_run_that_waits_takes_what_the_other_one_made(line, tmp_path, capsys, monkeypatch) -> None:
    lock = Store.lock

    @contextmanager
    def busy(self, key, waiting):
        waiting()
        waiting()
        if not self.root.joinpath("store").exists():  # meanwhile, the other run ends
            os.symlink(line / "store", self.root / "store")
        with lock(self, key, waiting):
            yield

    monkeypatch.setattr(Store, "lock", busy)
    monkeypatch.setattr("lab.stages.runner.run_stage", lambda *_, **__: pytest.fail("something ran"))
    assert fit(tmp_path) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "[1/4] first: another run is computing this stage; waiting for it"
    assert lines[1].startswith("[1/4] first: cached (fit, ")


def test_a_run_that_waits_can_be_stopped(tmp_path, capsys, monkeypatch) -> None:
    @contextmanager
    def busy(self, key, waiting):
        waiting()
        os.kill(os.getpid(), signal.SIGINT)
        waiting()
        yield

    monkeypatch.setattr(Store, "lock", busy)
    assert fit(tmp_path) == 130
    assert capsys.readouterr().err.splitlines()[1:] == [
        "lab: stopped while waiting for stage 'first'; the same command goes on from there"
    ]


def test_a_signal_between_stages(line, tmp_path, capsys, monkeypatch) -> None:
    publish = Store.publish

    def interrupted(*args):
        os.kill(os.getpid(), signal.SIGTERM)
        return publish(*args)

    monkeypatch.setattr(Store, "publish", interrupted)
    assert fit(tmp_path) == 143
    assert "lab: stopped before stage 'table'" in capsys.readouterr().err
    monkeypatch.undo()
    assert fit(tmp_path) == 0
    assert "[1/4] first: cached" in capsys.readouterr().err
    assert outcome(tmp_path, "second") == outcome(line, "second")


def test_killed_in_predict(line, tmp_path) -> None:
    from toy_plugin.module import Linear

    from tests.stages.toy import Killed

    predict, seen = Linear.predict_step, []

    def once(self, batch, batch_idx):
        seen.append(int(batch.index[0]))
        if len(seen) == 5:
            raise Killed
        return predict(self, batch, batch_idx)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Linear, "predict_step", once)
        with pytest.raises(Killed):
            fit(tmp_path)
        assert fit(tmp_path) == 0
    assert seen == [0, 4, 8, 12, 16, *range(16, 50, 4)]  # only the fifth batch is computed again
    whole, resumed = artefact(line, "table"), artefact(tmp_path, "table")
    assert resumed.metrics == whole.metrics
    assert (resumed.path / "table.safetensors").read_bytes() == (whole.path / "table.safetensors").read_bytes()


@pytest.mark.parametrize("size", [1, 3, 50, 100])
def test_predictions_do_not_depend_on_the_batch_size(line, tmp_path, size) -> None:
    first = artefact(line, "first")
    (tmp_path / "store").mkdir()
    os.symlink(first.path, tmp_path / "store" / first.key)
    assert fit(tmp_path, f"stages.table.trainer.eval_batch_size={size}", "stages.second.enabled=false") == 0
    for name, column in artefact(tmp_path, "table").table().items():
        assert column.tolist() == pytest.approx(artefact(line, "table").table()[name].tolist(), rel=1e-5)
