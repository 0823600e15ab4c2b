"""Sweeps whose jobs depend on what was found so far."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, replace

import pytest

from lab.errors import UserError
from lab.reports.statistics import Estimate
from lab.stages.artefact import Artefact
from lab.sweeps.plan import JOBS, Job
from lab.sweeps.run import PlannedSweep
from lab.sweeps.search import Study
from lab.sweeps.sources import study_of, value_of
from tests.stages.toy import PLUGIN, steps

ONLY_FIRST = ("stages.second.enabled=false", "stages.table.enabled=false")
LR = "stages.first.module.lr=0.001..0.3:log"


def values(planned: PlannedSweep, metric: str = "first/val/loss") -> dict[Job, float]:
    return {job.id: value_of(job, metric, planned.store) for job in planned.sweep.jobs}


def test_until_adds_seeds_to_the_settings_that_need_them(ask):
    grid = ("stages.first.module.lr=0.3,0.0",)  # trained well, and not at all
    planned = PlannedSweep(ask(*ONLY_FIRST, grid=grid, seeds=(0, 1), until=0.5, metric="first/val/loss", max_seeds=8))
    sweep = planned.run("debug")
    by_lr = {lr: [job for job in sweep.jobs if job.setting["stages.first.module.lr"] == lr] for lr in ("0.3", "0.0")}
    for jobs in by_lr.values():
        assert [job.seed for job in jobs] == list(range(len(jobs)))
        found = [value_of(job, "first/val/loss", planned.store) for job in jobs]
        assert Estimate(tuple(found)).half <= 0.5 or len(jobs) == 8
        assert len(jobs) == 2 or Estimate(tuple(found[:-1])).half > 0.5
    assert len(by_lr["0.3"]) < len(by_lr["0.0"])
    before = sweep.jobs
    again = PlannedSweep(planned.request)
    assert again.sweep.id == sweep.id
    assert again.run("debug").jobs == before, "asked again, it knows how many it took"


def test_a_seed_that_one_experiment_needed_is_not_run_for_the_others(ask, tmp_path):
    """Each experiment of a sweep gets the seeds that it needs itself, also when the sweep is asked again."""
    calm = tmp_path / "calm.yaml"
    text = (PLUGIN / "toy_plugin" / "experiments" / "toy_line.yaml").read_text()
    calm.write_text(text.replace("toy_line", "calm").replace("second_test: {verb: test, weights: second}", ""))
    grid = ("stages.first.module.lr=0.0",)
    request = ask(*ONLY_FIRST, grid=grid, seeds=(0, 1), until=0.6, metric="first/val/loss", max_seeds=6)
    lively = replace(request, configs=(*request.configs, str(calm)))
    sweep = PlannedSweep(lively).run("debug")
    # `calm` is the same training under another name, so give it one seed less by hand.
    before = [job for job in sweep.jobs if not (job.name == "calm" and job.seed == max(j.seed for j in sweep.jobs))]
    assert len(before) < len(sweep.jobs)
    (sweep.path / JOBS).write_text("".join(f"{json.dumps(asdict(job))}\n" for job in before))
    known = PlannedSweep(lively)._known()
    assert {each.job.id for each in known} == {job.id for job in before}


def test_until_without_a_metric_to_know_is_refused(ask):
    with pytest.raises(UserError, match="which --metric"):
        PlannedSweep(ask(*ONLY_FIRST, seeds=(0, 1), until=0.5)).run("debug")


def test_a_search_runs_its_trials_and_knows_the_best(ask):
    request = ask(
        *ONLY_FIRST, grid=(LR,), seeds=(0, 1), search="random", trials=5, metric="first/val/loss", direction="min"
    )
    planned = PlannedSweep(request)
    sweep = planned.run("debug")
    assert len(sweep.jobs) == 10 and sweep.counts() == {"done": 10}
    assert {job.trial for job in sweep.jobs} == set(range(5))
    study = study_of(sweep)
    mean = {
        trial: statistics.fmean(
            value_of(job, "first/val/loss", planned.store) for job in sweep.jobs if job.trial == trial
        )
        for trial in range(5)
    }
    trial, value = study.best()
    assert (trial.number, value) == pytest.approx(min(((n, v) for n, v in mean.items()), key=lambda pair: pair[1]))
    before = sweep.jobs
    assert PlannedSweep(request).run("debug").jobs == before


def test_a_search_goes_on_where_it_was_stopped(ask, monkeypatch):
    request = ask(*ONLY_FIRST, grid=(LR,), search="tpe", trials=4, metric="first/val/loss", direction="min")
    told = Study.tell

    def tell(self, trial, value):
        told(self, trial, value)
        if trial.number == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(Study, "tell", tell)
    with pytest.raises(KeyboardInterrupt):
        PlannedSweep(request).run("debug")
    monkeypatch.undo()
    sweep = PlannedSweep(request).run("debug")
    assert sorted(job.trial for job in sweep.jobs) == [0, 1, 2, 3] and sweep.counts() == {"done": 4}


def test_a_failed_trial_is_a_trial(ask, tmp_path):
    request = ask(
        *ONLY_FIRST,
        grid=("stages.first.module.nan_at=-1,3",),
        search="random",
        trials=6,
        metric="first/val/loss",
        direction="min",
    )
    planned = PlannedSweep(request)
    sweep = planned.run("debug")
    states = sweep.states()
    assert sorted(states.values()) == ["done", "failed"], "six trials of two settings are two jobs"
    history = study_of(sweep).history()
    assert len(history) == 6
    assert {
        entry.trial.setting["stages.first.module.nan_at"] == "3" for entry in history if entry.state == "failed"
    } == {True}


def test_a_hopeless_trial_is_ended_early(ask, tmp_path):
    """Trials that learn nothing are pruned once others have shown what can be had; pruned ones take fewer steps."""
    mark = tmp_path / "mark"
    request = ask(
        *ONLY_FIRST,
        "trainer.max_epochs=60",
        "trainer.recovery_seconds=60",
        f"stages.first.module.mark={mark}",
        grid=("stages.first.module.lr=0.3,0.2,0.1,0.15,0.25,0.05,1e-9,2e-9,3e-9,4e-9",),
        search="random",
        trials=10,
        metric="first/val/loss",
        direction="min",
        pruner="median",
    )
    planned = PlannedSweep(request)
    sweep = planned.run("local", 1)
    counts = sweep.counts()
    assert counts.get("pruned", 0) >= 1, counts
    assert counts["done"] + counts["pruned"] == len(sweep.jobs)
    full = 60 * 6
    assert len(steps(mark)) < full * len(sweep.jobs)
    for job, state in sweep.states().items():
        if state == "done":
            key = next(each.stages["first"] for each in sweep.jobs if each.id == job)
            assert Artefact(planned.store.path(key)).metrics["epochs"] == 60
    assert PlannedSweep(request).run("debug").counts() == counts
