"""Several processes: how they are started and ended, and that they come to what one process comes to."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from lab.cli import main
from lab.config import resolve
from lab.errors import UserError
from lab.stages.graph import plan
from lab.stages.world import World, agree, agree_any, barrier, join, launch, started_by_launcher
from tests.stages.toy import Killed, artefact, finished, fit, start

ONE = World()


def script(tmp_path: Path, body: str) -> list[str]:
    path = tmp_path / "script.py"
    path.write_text(f"import os, signal, sys, time\nrank = int(os.environ['RANK'])\n{body}")
    return [sys.executable, str(path)]


def test_launched_processes_know_their_place(tmp_path) -> None:
    body = (
        "names = ('RANK', 'LOCAL_RANK', 'WORLD_SIZE', 'LOCAL_WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT')\n"
        f"open(f'{tmp_path}/{{rank}}', 'w').write(' '.join(os.environ[n] for n in names))\n"
        "print('only for a log file', file=sys.stderr)\n"
    )
    assert launch(3, script(tmp_path, body)) == 0
    found = [(tmp_path / str(rank)).read_text().split() for rank in range(3)]
    assert [words[:5] for words in found] == [[str(rank), str(rank), "3", "3", "127.0.0.1"] for rank in range(3)]
    assert len({words[5] for words in found}) == 1


@pytest.mark.parametrize(
    ("body", "status", "heard"),
    [
        ("sys.exit(0 if rank else 3)", 3, []),
        ("print(f'rank {rank}: bad row', file=sys.stderr); sys.exit(2)", 2, ["rank 0: bad row"]),
        ("if rank: sys.exit('rank 1: bad row')\ntime.sleep(0.3); sys.exit(1)", 1, ["rank 1: bad row"]),
        (
            "if rank: print('rank 1: bad row', file=sys.stderr); sys.exit(2)\n"
            "time.sleep(0.3); sys.exit('rank 0: lost it')",
            2,
            ["rank 0: lost it", "rank 1: bad row"],
        ),
        (
            "if rank: os.kill(os.getpid(), signal.SIGKILL)\ntime.sleep(0.3); sys.exit(1)",
            137,
            ["lab: error: process 1 of 2 was ended by SIGKILL"],
        ),
    ],
)
def test_the_first_failure_counts(tmp_path, capfd, body, status, heard) -> None:
    assert launch(2, script(tmp_path, body)) == status
    assert capfd.readouterr().err.splitlines() == heard


def test_signals_are_handed_on(tmp_path) -> None:
    body = (
        f"signal.signal(signal.SIGTERM, lambda *_: sys.exit(143)); open(f'{tmp_path}/{{rank}}', 'w'); time.sleep(30)\n"
    )

    def stop() -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and not all((tmp_path / rank).exists() for rank in "01"):
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=stop)
    thread.start()
    before = signal.getsignal(signal.SIGTERM)
    assert launch(2, script(tmp_path, body)) == 143
    thread.join(20)
    assert signal.getsignal(signal.SIGTERM) is before


def test_alone() -> None:
    assert join(4, 1) == ONE  # a process that no launcher started is alone
    assert agree("a", ONE) == "a"
    assert agree_any(3, ONE) == 3
    barrier(ONE)
    assert [World(0, 0, 2).is_first, World(1, 1, 2).is_first] == [True, False]


def test_who_was_started_by_a_launcher(monkeypatch) -> None:
    assert not started_by_launcher()
    monkeypatch.setenv("SLURM_NTASKS", "2")
    monkeypatch.setenv("SLURM_PROCID", "0")
    assert not started_by_launcher()  # a batch script, outside srun
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
    assert started_by_launcher()


def test_a_launcher_that_started_another_number(monkeypatch) -> None:
    for name, value in (("TORCHELASTIC_RUN_ID", "x"), ("RANK", "0"), ("LOCAL_RANK", "0"), ("WORLD_SIZE", "3")):
        monkeypatch.setenv(name, value)
    with pytest.raises(
        UserError, match=r"3 processes were started but trainer.devices=2 and trainer.nodes=1 ask for 2"
    ):
        join(2, 1)


def test_several_machines_need_a_launcher(tmp_path, capsys) -> None:
    assert main(["fit", "--config", "toy_line", f"runs_dir={tmp_path}", "trainer.nodes=2"]) == 2
    assert capsys.readouterr().err == (
        "lab: error: trainer.nodes=2: start one process per device with srun or torchrun\n"
    )


def test_a_batch_that_devices_do_not_divide(tmp_path, capsys) -> None:
    assert fit(tmp_path, "trainer.devices=3") == 2
    (line,) = set(capsys.readouterr().err.splitlines())
    assert line.endswith("batch_size: 8 can't be divided over 3 parts (devices x nodes x accumulate)")
    assert not tmp_path.joinpath("store").exists()


LINE = """
name: line
data: {name: toy/plane}
trainer: {max_epochs: 4, batch_size: 8, eval_batch_size: 4, recovery_seconds: 0, log_every: 1}
stages:
  first: {verb: fit, module: {name: toy/linear}}
  table: {verb: predict, weights: first, split: train}
  check: {verb: test, weights: first, trainer: {eval_batch_size: 256}}
  second: {verb: fit, module: {name: toy/linear, lr: 0.01}, weights: first}
"""
"""A device would be without a batch in `check`, if batches were not made smaller there."""


def test_two_processes_are_one(tmp_path) -> None:
    """One process is killed in a stage; two go on with that, do the next ones, and get SIGTERM; one does the rest."""
    config, alone, runs, mark = (tmp_path / name for name in ("line.yaml", "alone", "runs", "mark"))
    config.write_text(LINE)
    assert fit(alone, config=config) == 0
    options = ("stages.first.module.die_at=9", f"stages.first.module.mark={mark}")
    options += ("stages.second.module.stop_at=9", f"stages.second.module.mark={mark}2")
    with pytest.raises(Killed):
        fit(runs, *options, config=config)
    mark.with_suffix(".predict").touch()

    status, output = finished(start(runs, *options, "trainer.devices=2", config=config))
    assert status == 143, output
    lines = [line for line in output.splitlines() if not line.startswith("[")]
    # Both got the signal; they agree on stopping at a multiple of 8 steps, or as here at the end of an epoch.
    assert lines == ["lab: stopped in stage 'second' at step 12; the same command goes on from there"]
    assert "[1/4] first: fit goes on" in output
    assert output.count("[4/4] second: fit (") == 1
    assert json.loads(next(runs.glob("line*/run.json")).read_text())["status"] == "interrupted"
    made = artefact(runs, "first")
    assert made.manifest["made"]["devices"] == 2
    assert {path.name for path in made.path.iterdir()} == {
        *("artefact.json", "weights.safetensors", "metrics.json", "curves.csv", "tensorboard")
    }
    assert len([*(runs / "store").iterdir()]) == 3
    assert [path.name for path in (runs / "work").iterdir()] == [artefact_key(config, runs, options)]

    assert fit(runs, *options, config=config) == 0
    assert not [*(runs / "work").iterdir()]
    for stage in ("first", "second", "check"):
        assert artefact(runs, stage).metrics == pytest.approx(artefact(alone, stage).metrics, rel=1e-5)
    for stage in ("first", "second"):
        one, two = artefact(alone, stage), artefact(runs, stage)
        torch.testing.assert_close(two.weights(), one.weights(), rtol=1e-5, atol=1e-6)
        rows = [[row.split(",")[:2] for row in (made.path / "curves.csv").read_text().split()] for made in (one, two)]
        assert rows[0] == rows[1]
    table = artefact(runs, "table").table()
    assert table["index"].tolist() == list(range(50))
    torch.testing.assert_close(table, artefact(alone, "table").table(), rtol=1e-5, atol=1e-6)


def artefact_key(config: Path, runs: Path, options: tuple[str, ...]) -> str | None:
    """Key of the last stage."""
    return plan(resolve(config, overrides=[f"runs_dir={runs}", *options]).experiment)[-1].key
