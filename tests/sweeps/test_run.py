"""Sweeps that compute something, in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.errors import UserError
from lab.stages.artefact import CURVES, WEIGHTS, Artefact
from lab.stages.record import load_run
from lab.sweeps.plan import Sweep
from lab.sweeps.run import PlannedSweep
from tests.stages.toy import fit, outcome, steps

LR = "stages.second.module.lr"


def results(sweep: Sweep) -> dict[str, object]:
    """Everything that the fits of a sweep leave, by job."""
    found = {}
    for job in sweep.jobs:
        for stage in ("first", "second"):
            made = Artefact(sweep.runs / "store" / job.stages[stage])
            files = {name: (made.path / name).read_bytes() for name in (CURVES, WEIGHTS)}
            found[job.id, stage] = {**made.metrics, **files}
    return found


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> dict[str, object]:
    """Of four jobs, run one after the other in this process by `lab fit`."""
    found = {}
    for seed in (0, 1):
        for lr in ("0.01", "0.02"):
            runs = tmp_path_factory.mktemp("alone")
            assert fit(runs, f"{LR}={lr}", f"seed={seed}") == 0
            (run,) = (path.parent for path in runs.glob("*/run.json"))
            for stage in ("first", "second"):
                found[run.name, stage] = outcome(runs, stage)
    return found


@pytest.mark.parametrize("executor", ["debug", "local"])
def test_jobs_are_what_fit_makes_of_them(ask, reference, executor):
    planned = PlannedSweep(ask(grid=(f"{LR}=0.01,0.02",), seeds=(0, 1)))
    sweep = planned.run(executor, 2)
    assert sweep.counts() == {"done": 4}
    assert results(sweep) == reference
    states = [load_run(sweep.runs / job.id)["stages"]["first"]["state"] for job in sweep.jobs]
    assert sorted(states) == ["cached", "cached", "ran", "ran"], "each first stage was computed for one job"
    assert all(load_run(path)["status"] == "finished" for path in sweep.run_paths())
    logs = [path.read_text() for path in (sweep.path / "logs").glob("second-*.log")]
    assert len(logs) == (4 if executor == "local" else 0) and all("done in" in log for log in logs)


def test_asked_again_nothing_runs(ask, tmp_path, capsys):
    mark = tmp_path / "steps"
    request = ask(f"stages.second.module.mark={mark}", grid=(f"{LR}=0.01,0.02",), seeds=(0,))
    PlannedSweep(request).run("debug")
    taken = len(steps(mark))
    assert taken > 0
    times = [path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("run.json")]
    PlannedSweep(request).run("local")
    assert len(steps(mark)) == taken
    assert [path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("run.json")] == times


def test_a_failure_is_one_line_and_stops_nobody_else(ask, capfd):
    request = ask(grid=("stages.second.module.nan_at=-1,3",), seeds=(0, 1))
    sweep = PlannedSweep(request).run("local", 2)
    assert sweep.counts() == {"done": 2, "failed": 2}
    problems = sweep.problems()
    assert [problem.stage for problem in problems] == ["second", "second"]
    assert all("not finite (NaN) at step" in problem.error and "\n" not in problem.error for problem in problems)
    assert all("not finite" in problem.log.read_text() for problem in problems)
    assert capfd.readouterr().err.count("failed: ") == 2

    again = PlannedSweep(request)
    assert again.run("debug").counts() == {"done": 2, "failed": 2}, "what failed waits for `retry`"
    assert sweep.forget("failed") == 2
    assert again.sweep.counts() == {"done": 2, "waiting": 2}


def test_a_killed_worker_is_replaced_and_loses_nothing(ask, tmp_path, reference):
    marks = tmp_path / "marks"
    marks.mkdir()
    planned = PlannedSweep(
        ask(f"stages.second.module.mark={marks}/m", "stages.second.module.die_at=30", grid=(f"{LR}=0.01",), seeds=(0,))
    )
    sweep = planned.run("local", 1)
    assert sweep.counts() == {"done": 1}
    mine = Artefact(sweep.runs / "store" / sweep.jobs[0].stages["second"])
    (theirs,) = (
        value for (job, stage), value in reference.items() if stage == "second" and "seed0" in job and _lr(value, mine)
    )
    assert (mine.path / WEIGHTS).read_bytes() == theirs[WEIGHTS]
    taken = steps(marks / "m")
    assert len(taken) == len(set(taken)), "resumed, not begun again"


def _lr(theirs: dict, mine: Artefact) -> bool:
    return theirs[CURVES] == (mine.path / CURVES).read_bytes()


DRIVE = """
import sys
from lab.sweeps.plan import Request
from lab.sweeps.run import PlannedSweep
if __name__ == "__main__":
    config, runs, mark = sys.argv[1:]
    PlannedSweep(Request(
        (config,), overrides=(f"runs_dir={runs}", "trainer.accelerator=cpu"),
        grid=("stages.second.module.lr=0.01,0.02",), seeds=(0, 1),
    )).run("local", 2)
"""


def _workers(front: int) -> list[int]:
    """Children of a process that serve as workers."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
            command = (path.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if int(fields[1]) == front and b"spawn_main" in command:
            found.append(int(path.parent.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the workers of a process through /proc")
def test_sigkill_of_the_front_process_and_of_its_workers_loses_nothing(ask, tmp_path, reference):
    request = ask(grid=(f"{LR}=0.01,0.02",), seeds=(0, 1))
    script = tmp_path / "drive.py"
    script.write_text(DRIVE)
    command = [sys.executable, str(script), request.configs[0], str(tmp_path / "runs"), "-"]
    front = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 90
        while not list((tmp_path / "runs").glob("store/*/artefact.json")) and time.monotonic() < deadline:
            assert front.poll() is None, front.stderr.read()
            time.sleep(0.01)
        workers = _workers(front.pid)
        assert workers
        front.kill()
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
    finally:
        front.kill()
        front.wait()
    planned = PlannedSweep(request)
    before = planned.sweep.counts()
    assert before.get("done", 0) < 4 and "running" not in before and "failed" not in before
    sweep = planned.run("local", 2)
    assert sweep.counts() == {"done": 4}
    assert results(sweep) == reference
    assert not any((sweep.runs / "work").iterdir()), "nothing half-written is left"


def test_workers_end_with_their_front_process(ask, tmp_path):
    request = ask(grid=(f"{LR}=0.01,0.02",), seeds=(0, 1))
    script = tmp_path / "drive.py"
    script.write_text(DRIVE)
    command = [sys.executable, str(script), request.configs[0], str(tmp_path / "runs"), "-"]
    front = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not (workers := _workers(front.pid)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert workers
        front.kill()
        while any(Path(f"/proc/{worker}").exists() for worker in workers) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not any(Path(f"/proc/{worker}").exists() for worker in workers)
    finally:
        front.kill()
        front.wait()


def test_a_stage_on_two_devices_takes_two_slots(ask, reference):
    off = ("stages.second.enabled=false", "stages.table.enabled=false")  # and with it its test
    sweep = PlannedSweep(ask("trainer.devices=2", *off, seeds=(0,))).run("local", 2)
    assert sweep.counts() == {"done": 1}, sweep.problems()
    made = Artefact(sweep.runs / "store" / sweep.jobs[0].stages["first"])
    assert made.manifest["made"]["devices"] == 2
    (alone,) = {value["val/loss"] for (job, stage), value in reference.items() if stage == "first" and "seed0" in job}
    assert made.metrics["val/loss"] == pytest.approx(alone, rel=1e-4)


def test_more_devices_than_slots_is_refused(ask):
    with pytest.raises(UserError, match=r"trainer.devices=64, but there are \d+ slots"):
        PlannedSweep(ask("trainer.devices=64", "trainer.batch_size=64", seeds=(0,))).run("local")
