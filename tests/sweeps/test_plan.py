"""The folder of a sweep, and what other processes read in it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lab.errors import UserError
from lab.sweeps.plan import Request, find_sweep, wait_for_end
from lab.sweeps.run import PlannedSweep

GRID = ("stages.second.module.lr=0.01,0.02",)


def test_the_plan_is_on_disk_before_anything_runs(ask):
    planned = PlannedSweep(ask(grid=GRID, seeds=(0, 1)))
    sweep = find_sweep(planned.sweep.id, planned.store.root)
    assert [(job.setting, job.seed) for job in sweep.jobs] == [
        ({"stages.second.module.lr": lr}, seed) for seed in (0, 1) for lr in ("0.01", "0.02")
    ]
    assert sweep.counts() == {"waiting": 4}
    assert sweep.request == planned.request
    assert not (planned.store.root / "store").exists()
    first = {job.stages["first"] for job in sweep.jobs}
    second = {job.stages["second"] for job in sweep.jobs}
    assert (len(first), len(second)) == (2, 4), "the first stage is shared by the settings of a seed"


def test_a_job_is_the_hash_of_its_configuration(ask):
    one = PlannedSweep(ask(grid=GRID, seeds=(0,)))
    other = PlannedSweep(ask("stages.second.module.lr=0.02", seeds=(0,)))
    assert one.sweep.id != other.sweep.id
    assert one.planned[1].job.id == other.planned[0].job.id


def test_the_same_request_is_the_same_sweep_and_another_is_not(ask):
    first = PlannedSweep(ask(grid=GRID, seeds=(0, 1))).sweep
    assert PlannedSweep(ask(grid=GRID, seeds=(0, 1))).sweep.id == first.id
    assert PlannedSweep(ask(grid=GRID, seeds=(0, 2))).sweep.id != first.id
    assert PlannedSweep(ask("trainer.max_epochs=3", grid=GRID, seeds=(0, 1))).sweep.id != first.id


def test_several_experiments(ask, tmp_path):
    request = ask(seeds=(0,))
    request = Request((*request.configs, *request.configs), overrides=request.overrides, seeds=(0,))
    assert len(PlannedSweep(request).planned) == 1, "the same job twice is one job"


@pytest.mark.parametrize(
    "options, message",
    [
        ({"grid": ("seed=1,2",), "seeds": (0, 1)}, "contradict"),
        ({"metric": "first", "search": "random", "trials": 3, "grid": GRID}, "STAGE/NAME"),
        ({"metric": "third/val/loss", "search": "random", "trials": 3, "grid": GRID}, "STAGE/NAME"),
        (
            {"metric": "second_test/loss", "search": "random", "trials": 3, "grid": GRID},
            "nothing is chosen on test data",
        ),
        (
            {"metric": "second/test/loss", "search": "random", "trials": 3, "grid": GRID},
            "nothing is chosen on test data",
        ),
        ({"grid": ("stages.second.module.lr=0.1..0.2",)}, "--random or --search"),
    ],
)
def test_a_wrong_request_is_refused_before_anything_is_written(ask, tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        PlannedSweep(ask(**options))
    assert not (tmp_path / "runs").exists()


def test_finding_a_sweep(ask):
    sweep = PlannedSweep(ask(seeds=(0,))).sweep
    runs = sweep.runs
    for name in (sweep.id, "toy_line", sweep.id[:-2], str(sweep.path)):
        assert find_sweep(name, runs).path == sweep.path
    with pytest.raises(UserError, match=f"no sweep 'other'.*candidates: {sweep.id}"):
        find_sweep("other", runs)


HOLD = """
import sys
from pathlib import Path
from lab.sweeps.plan import Sweep
with Sweep(Path(sys.argv[1])).front(alone=True):
    print("in", flush=True)
    sys.stdin.read()
"""


def test_one_process_works_on_a_sweep_and_a_killed_one_is_gone(ask):
    sweep = PlannedSweep(ask(seeds=(0,))).sweep
    command = [sys.executable, "-c", HOLD, str(sweep.path)]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout.readline() == "in\n"
        assert [front["pid"] for front in sweep.fronts()] == [other.pid]
        sweep.enter("key", {"state": "running", "front": sweep.fronts()[0]["front"]})
        assert sweep.entries()["key"]["state"] == "running"
        with pytest.raises(UserError, match=f"process {other.pid}"), sweep.front(alone=True):
            pass
        with sweep.front(alone=False):
            assert len(sweep.fronts()) == 2
        assert not wait_for_end(sweep, 0.2)
    finally:
        other.kill()
        other.wait()
    assert sweep.fronts() == []
    assert sweep.entries()["key"]["state"] == "waiting"
    with sweep.front(alone=True):
        pass
    assert not list((sweep.path / "fronts").glob("*-*.*")), "nothing is left that could block"
