from __future__ import annotations

import gc
import json
import subprocess
import sys
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from math import dist
from pathlib import Path
from statistics import mean

import pytest
from filelock import FileLock

from lab.errors import UnknownName, UserError
from lab.sweeps import axes, search
from lab.sweeps.search import Study

ROOT = Path(__file__).resolve().parents[2]
PLANE = axes.parse(["x=-1.0..1.0", "y=-1.0..1.0"])
MIXED = axes.parse(["lr=1e-5..1e-2:log", "width=16..128", "depth=1..8:log", "act=relu,gelu", "profile=none"])


@pytest.fixture(autouse=True)
def unflushed(monkeypatch) -> None:
    """Don't wait for the disk; the processes below do."""
    monkeypatch.setattr("os.fsync", lambda handle: None)


def opened(folder: Path, space=PLANE, **changes) -> Study:
    return Study.open(folder, space, **{"direction": "min", "trials": 20, "seed": 0} | changes)


def bowl(setting) -> float:
    """Least at (0.3, -0.6), where it is 0."""
    return (float(setting["x"]) - 0.3) ** 2 + (float(setting["y"]) + 0.6) ** 2


def work(study: Study, most: int = 10**6) -> list[dict[str, str]]:
    """Ask and tell until all is done, or that often."""
    settings = []
    while len(settings) < most and (trial := study.ask()):
        settings.append(trial.setting)
        study.tell(trial, bowl(trial.setting))
    return settings


def test_a_search_gives_out_its_trials_and_no_more(tmp_path):
    study = opened(tmp_path / "s", trials=7)
    assert study.best() is None
    assert len(work(study)) == 7
    assert study.ask() is None
    entries = study.history()
    assert [entry.trial.number for entry in entries] == list(range(7))
    assert {entry.state for entry in entries} == {"finished"}
    assert all(entry.value == bowl(entry.trial.setting) for entry in entries)
    trial, value = study.best()
    assert value == min(entry.value for entry in entries) == bowl(trial.setting)
    again = opened(tmp_path / "s", trials=7)
    assert again.history() == entries
    assert again.ask() is None
    assert opened(tmp_path / "s", trials=8).ask().number == 7


def test_the_best_of_a_maximum(tmp_path):
    study = opened(tmp_path, direction="max", trials=4)
    for value in (1.0, 3.0, 3.0, 2.0):
        study.tell(study.ask(), value)
    trial, value = study.best()
    assert (trial.number, value) == (1, 3.0)


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc"])
def test_a_setting_lies_on_its_axes(tmp_path, sampler):
    study = opened(tmp_path, MIXED, sampler=sampler, trials=16)
    while trial := study.ask():
        setting = trial.setting
        assert list(setting) == ["lr", "width", "depth", "act", "profile"]
        assert 1e-5 <= float(setting["lr"]) <= 1e-2
        assert 16 <= int(setting["width"]) <= 128
        assert 1 <= int(setting["depth"]) <= 8
        assert setting["act"] in ("relu", "gelu")
        assert setting["profile"] == "none"
        study.tell(trial, abs(int(setting["width"]) - 20))
    assert len({entry.trial.setting["act"] for entry in study.history()}) == 2


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc"])
def test_a_seed_gives_the_same_settings_again(tmp_path, sampler):
    once = work(opened(tmp_path / "a", sampler=sampler))
    assert len({tuple(setting.values()) for setting in once}) == 20
    assert work(opened(tmp_path / "b", sampler=sampler)) == once
    assert work(opened(tmp_path / "c", sampler=sampler, seed=1)) != once


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc"])
def test_a_seed_gives_the_same_settings_after_a_stop(tmp_path, sampler):
    once = work(opened(tmp_path / "a", sampler=sampler))
    study = opened(tmp_path / "b", sampler=sampler)
    begun = work(study, 13)
    abandoned = study.ask()
    del study  # as when the process dies: its locks are free
    gc.collect()
    study = opened(tmp_path / "b", sampler=sampler)
    assert study.history()[13].state == "running"
    rest = work(study)
    assert rest[0] == abandoned.setting
    assert begun + rest == once


def test_tpe_finds_the_bottom_of_a_bowl_better_than_random(tmp_path):
    def reached(sampler: str) -> float:
        studies = [opened(tmp_path / f"{sampler}{seed}", sampler=sampler, trials=35, seed=seed) for seed in range(5)]
        for study in studies:
            work(study)
        return mean(study.best()[1] for study in studies)

    assert reached("tpe") < reached("random") / 3


def test_running_trials_keep_others_away(tmp_path):
    """Ten trials that run at once look at ten places; without the constant liar two of them are within 0.05."""
    study = opened(tmp_path, trials=30)
    work(study, 20)
    asked = [study.ask().setting for _ in range(10)]
    places = [(float(setting["x"]), float(setting["y"])) for setting in asked]
    assert min(dist(one, other) for one, other in combinations(places, 2)) > 0.1


def test_who_holds_a_trial_keeps_it(tmp_path):
    study = opened(tmp_path)
    assert [study.ask().number for _ in range(3)] == [0, 1, 2]
    assert opened(tmp_path).ask().number == 3  # dropped at once, as by a process that died
    gc.collect()
    assert study.ask().number == 3


def test_a_trial_outlives_the_thread_that_asked_for_it(tmp_path):
    study = opened(tmp_path)
    with ThreadPoolExecutor(1) as pool:
        trial = pool.submit(study.ask).result()
    gc.collect()
    assert (trial.number, opened(tmp_path).ask().number) == (0, 1)
    study.tell(trial, 1.0)
    with FileLock(tmp_path / "trials" / "0.lock", blocking=False):
        pass  # and whichever thread tells it frees the lock


def test_a_trial_that_is_told_while_another_process_asks_stays_told(tmp_path, monkeypatch):
    study, other = opened(tmp_path), opened(tmp_path)
    trial = study.ask()
    take = other._hold

    def hold(number: int) -> bool:
        """The other has seen the trial running; now it is told, and its lock is free."""
        if number == 0:
            study.tell(trial, 1.0)
        return take(number)

    monkeypatch.setattr(other, "_hold", hold)
    assert other.ask().number == 1
    assert [entry.state for entry in study.history()] == ["finished", "running"]


def test_threads_share_a_study(tmp_path):
    study = opened(tmp_path, trials=24, sampler="random")
    with ThreadPoolExecutor(4) as pool:
        done = [setting for part in pool.map(lambda _: work(study), range(4)) for setting in part]
    assert len(done) == 24
    assert [entry.state for entry in study.history()] == ["finished"] * 24


@pytest.mark.parametrize(("value", "shown"), [(float("nan"), "nan"), (float("inf"), "inf")])
def test_a_value_that_is_no_number_is_a_failure(tmp_path, value, shown):
    study = opened(tmp_path, trials=2)
    study.tell(study.ask(), value)
    entry = study.history()[0]
    assert (entry.state, entry.value, entry.error) == ("failed", None, f"the value is {shown}")
    assert study.best() is None


def test_failed_and_pruned_trials_count(tmp_path):
    study = opened(tmp_path, trials=3)
    study.failed(study.ask(), "StageFailed: the loss diverged")
    trial = study.ask()
    study.report(trial, 0, 0.5)
    study.report(trial, 4, 0.25)
    study.pruned(trial)
    study.tell(study.ask(), 1.0)
    assert study.ask() is None
    states = [(entry.state, entry.value, entry.error) for entry in study.history()]
    assert states == [("failed", None, "StageFailed: the loss diverged"), ("pruned", 0.25, ""), ("finished", 1.0, "")]
    assert study.best()[0].number == 2  # a pruned trial is not the best, whatever it reported


@pytest.mark.parametrize("pruner", ["none", "median", "hyperband"])
def test_a_pruner_stops_what_is_worse(tmp_path, pruner):
    study = opened(tmp_path, pruner=pruner, trials=30, sampler="random")
    stopped = {"good": 0, "bad": 0}
    for number in range(30):
        trial = study.ask()
        # One in three is bad, but for the first five, which the median waits for.
        kind = "bad" if number % 3 == 0 and number > 5 else "good"
        for step in range(4):
            # Later ones are a little better, so that good ones are never among the worst.
            if study.report(trial, step, (9.0 if kind == "bad" else 1.0) - 0.001 * number - 0.1 * step):
                stopped[kind] += 1
                study.pruned(trial)
                break
        else:
            study.tell(trial, 1.0)
    assert stopped["good"] == 0
    assert stopped["bad"] == 0 if pruner == "none" else stopped["bad"] >= 4


def test_a_step_that_is_known_keeps_its_value(tmp_path):
    study = opened(tmp_path)
    trial = study.ask()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        study.report(trial, 3, 0.5)
        study.report(trial, 3, 0.1)
    study.pruned(trial)
    assert study.history()[0].value == 0.5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sampler": "tep"}, "unknown search 'tep'; did you mean 'tpe'?"),
        ({"pruner": "mean"}, "unknown pruner 'mean'; did you mean 'median'?"),
        ({"direction": "up"}, "unknown direction 'up'; known: max, min"),
    ],
)
def test_an_unknown_name(tmp_path, changes, message):
    with pytest.raises(UnknownName) as caught:
        opened(tmp_path / "s", **changes)
    assert str(caught.value) == message
    assert not (tmp_path / "s").exists()


def test_nothing_to_search_over(tmp_path):
    with pytest.raises(UserError, match="nothing to search over"):
        opened(tmp_path, [])


def test_without_optuna(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UserError, match=r"^--search needs Optuna: pip install 'lab\[search\]'$"):
        opened(tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_without_a_package_of_the_sampler(tmp_path, monkeypatch):
    monkeypatch.setattr(search, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"^--search cmaes needs one more package: pip install cmaes$"):
        opened(tmp_path / "s", sampler="cmaes")
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"space": PLANE[:1]}, r"axes was x=-1\.0\.\.1\.0 y=-1\.0\.\.1\.0"),
        ({"sampler": "random", "seed": 5}, "search was tpe; seed was 0"),
        ({"direction": "max"}, "direction was min"),
    ],
)
def test_a_folder_holds_one_search(tmp_path, changes, what):
    opened(tmp_path)
    with pytest.raises(UserError, match=f"holds another search: {what}$"):
        opened(tmp_path, **changes)


def test_a_search_is_quiet(tmp_path):
    code = f"""
from pathlib import Path
from lab.sweeps import axes
from lab.sweeps.search import Study
for sampler in ("tpe", "qmc"):
    study = Study.open(Path({str(tmp_path)!r}, sampler), axes.parse(["x=0..1", "c=a,b"]), direction="min", trials=3,
                       sampler=sampler, pruner="hyperband")
    for trial in iter(study.ask, None):
        study.report(trial, 0, 1.0)
        study.tell(trial, 1.0)
    assert study.best() is not None
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# A worker tries to find the bottom of the bowl; on its `stuck`-th trial it hangs, or inside the journal's append.
WORKER = """
import os, sys, time
from pathlib import Path
from lab.sweeps import axes
from lab.sweeps.search import Study

folder, name, stuck, where = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
space = axes.parse(["x=-1.0..1.0", "y=-1.0..1.0"])
study = Study.open(folder / "study", space, direction="min", trials=24, seed=0)

def hang(*_):
    print("stuck", flush=True)
    time.sleep(120)

for _ in range(2000 if name == "second" else 0):  # let the first one begin, then both run at once
    if (folder / "log").exists():
        break
    time.sleep(0.01)

for count in range(24):
    trial = study.ask()
    if trial is None:
        break
    with (folder / "log").open("a") as log:
        log.write(f"{name} {trial.number} {trial.setting['x']}\\n")
    if count == stuck and where == "trial":
        hang()
    if count == stuck and where == "append":
        os.fsync = hang
    time.sleep(0.01)
    study.tell(trial, (float(trial.setting["x"]) - 0.3) ** 2 + (float(trial.setting["y"]) + 0.6) ** 2)
"""


def worker(folder: Path, name: str, stuck: int = -1, where: str = "trial") -> subprocess.Popen:
    command = [sys.executable, "-c", WORKER, str(folder), name, str(stuck), where]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def killed_when_stuck(process: subprocess.Popen) -> None:
    assert process.stdout.readline() == "stuck\n"
    process.kill()
    process.communicate(timeout=30)


def tried(folder: Path) -> list[tuple[str, int, str]]:
    """Who was given which trial, and its x."""
    lines = [line.split() for line in (folder / "log").read_text().splitlines()]
    return [(name, int(number), x) for name, number, x in lines]


def assert_each_was_told_once(folder: Path) -> None:
    entries = opened(folder / "study", trials=24).history()
    assert [(entry.trial.number, entry.state) for entry in entries] == [(n, "finished") for n in range(24)]
    assert all(entry.value == bowl(entry.trial.setting) for entry in entries)
    journal = [json.loads(line) for line in (folder / "study" / "journal.log").read_text().splitlines()]
    told = Counter(line["trial_id"] for line in journal if line.get("values"))
    assert told == dict.fromkeys(range(24), 1)


def test_two_processes_lose_no_trial(tmp_path):
    """One of them is killed in a trial, while the other goes on to the end; a third one finishes."""
    first, second = worker(tmp_path, "first", stuck=1), worker(tmp_path, "second")
    assert second.wait(timeout=60) == 0
    states = Counter(entry.state for entry in opened(tmp_path / "study", trials=24).history())
    assert states == {"finished": 23, "running": 1}  # the living keep what they hold
    killed_when_stuck(first)
    assert worker(tmp_path, "third").wait(timeout=60) == 0

    assert_each_was_told_once(tmp_path)
    given = tried(tmp_path)
    (lost,) = [(number, x) for name, number, x in given[::-1] if name == "first"][:1]
    assert [(number, x) for name, number, x in given if name == "third"] == [lost]
    assert Counter(number for _, number, _ in given) == {**dict.fromkeys(range(24), 1), lost[0]: 2}
    assert {name for name, _, _ in given} == {"first", "second", "third"}


@pytest.mark.parametrize("cut", [0, 1, 40])
def test_a_kill_inside_an_append_harms_nobody(tmp_path, cut):
    """The process dies while it holds the journal's lock, its last line whole or in part on the disk."""
    killed_when_stuck(worker(tmp_path, "first", stuck=2, where="append"))
    journal = tmp_path / "study" / "journal.log"
    whole = journal.read_bytes()
    journal.write_bytes(whole[: len(whole) - cut])
    assert worker(tmp_path, "second").wait(timeout=20) == 0  # less than Optuna waits before it breaks a lock

    assert_each_was_told_once(tmp_path)
    again = [entry for entry in tried(tmp_path) if entry[1] == 2]
    # What was told in a whole line counts; otherwise the trial is given out again, the same as before.
    assert [name for name, _, _ in again] == (["first"] if cut == 0 else ["first", "second"])
    assert len({x for _, _, x in again}) == 1
