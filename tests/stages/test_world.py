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
from lab.errors import UserError
from lab.stages.artefact import Artefact
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
            "if rank: print('rank 1: bad row', file=sys.stderr); sys.exit(2)\ntime.sleep(0.3); sys.exit('rank 0: lost it')",
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


def same(one: Artefact, other: Artefact) -> None:
    """Equal up to float error."""
    assert one.metrics == pytest.approx(other.metrics, rel=1e-5)
    for name, value in one.weights().items():
        torch.testing.assert_close(value, other.weights()[name], rtol=1e-5, atol=1e-6)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("alone")
    assert fit(runs) == 0
    return runs


def test_two_processes_are_one(alone, tmp_path) -> None:
    """One process is killed in the first stage; two go on with that and do all the rest."""
    options = ("stages.first.module.die_at=9", f"stages.first.module.mark={tmp_path / 'mark'}")
    with pytest.raises(Killed):
        fit(tmp_path, *options)
    (tmp_path / "mark.predict").touch()
    two = ("trainer.devices=2", "stages.second_test.trainer.eval_batch_size=256")
    status, output = finished(start(tmp_path, *options, *two))
    assert status == 0, output
    assert "[1/4] first: fit goes on" in output
    assert [line for line in output.splitlines() if "arning" in line] == []
    assert output.count("[3/4] second: fit (") == 1
    assert artefact(tmp_path, "first").manifest["made"]["devices"] == 2
    for stage in ("first", "second"):
        same(artefact(tmp_path, stage), artefact(alone, stage))
        steps = [
            [line.split(",")[:2] for line in (artefact(runs, stage).path / "curves.csv").read_text().splitlines()]
            for runs in (tmp_path, alone)
        ]
        assert steps[0] == steps[1]
    test = [artefact(runs, "second_test").metrics["test/loss"] for runs in (tmp_path, alone)]
    assert test[0] == pytest.approx(test[1], rel=1e-5)
    tables = [artefact(runs, "table").table() for runs in (tmp_path, alone)]
    assert tables[0]["index"].tolist() == list(range(50))
    torch.testing.assert_close(tables[0], tables[1], rtol=1e-5, atol=1e-6)
    assert len([*(tmp_path / "store").iterdir()]) == 4
    files = {path.name for path in artefact(tmp_path, "first").path.iterdir()}
    assert files == {"artefact.json", "weights.safetensors", "metrics.json", "curves.csv"}
    assert not [*(tmp_path / "work").iterdir()]


def test_two_processes_stop_and_one_goes_on(alone, tmp_path) -> None:
    options = ("stages.first.module.stop_at=9", f"stages.first.module.mark={tmp_path / 'mark'}")
    status, output = finished(start(tmp_path, *options, "trainer.devices=2"))
    assert status == 143, output
    lines = output.splitlines()
    # One of the two got the signal; they agree on stopping at a multiple of 8 steps, or at the end of an epoch.
    assert lines[1:] == ["lab: error: stopped in stage 'first' at step 12; the same command goes on from there"]
    assert json.loads(next(tmp_path.glob("toy_line*/run.json")).read_text())["status"] == "interrupted"
    assert not (tmp_path / "store").exists()
    assert fit(tmp_path, *options) == 0
    same(artefact(tmp_path, "first"), artefact(alone, "first"))
