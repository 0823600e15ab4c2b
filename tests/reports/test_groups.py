"""Which runs belong together, what a setting is called, and what is read from a group."""

from __future__ import annotations

import json
import os

import pytest

from lab.errors import UserError
from lab.reports.groups import Group, groups
from lab.reports.run import Run
from tests.reports.conftest import CONFIG

TRAINER = {"batch_size": 64, "max_epochs": 5, "workers": 0}


@pytest.fixture
def run(make_run):
    """A run whose data seed follows its seed, unless another is given; the stages inherit data and trainer."""

    def make(seed=0, bias_seed=None, rho=0.95, trainer=None, metrics=None, **changes):
        data = {"name": "shapes", "rho": rho, "root": None, "bias_seed": seed if bias_seed is None else bias_seed}
        trainer = {**TRAINER, **(trainer or {})}
        stages = {name: {**stage, "trainer": trainer, "seed": seed} for name, stage in CONFIG["stages"].items()}
        config = {"seed": seed, "data": data, "trainer": trainer, "stages": stages, **changes}
        return Run(make_run(f"run{len(made)}", metrics, **made.setdefault(len(made), config)))

    made: dict[int, dict] = {}
    return make


def described(found):
    return [(group.label, group.seeds) for group in found]


def test_runs_that_differ_in_the_seed_and_what_follows_from_it_are_one_group(run):
    assert described(groups([run(seed=2), run(seed=0), run(seed=1)])) == [("", [0, 1, 2])]


def test_settings_are_told_apart_by_the_shortest_key(run):
    found = groups([run(seed=seed, rho=rho) for rho in (0.9, 0.99) for seed in (0, 1)])
    assert described(found) == [("data.rho=0.9", [0, 1]), ("data.rho=0.99", [0, 1])]


def test_a_label_names_every_key_that_differs_and_none_that_only_says_where_to_run(run):
    runs = [run(rho=0.9, trainer={"workers": 4}), run(trainer={"max_epochs": 9}), run(seed=1, runs_dir="/elsewhere")]
    runs.append(run(trainer={"workers": 2}))
    found = groups(runs)
    assert [group.label for group in found] == [
        "data.rho=0.9, trainer.max_epochs=5",
        "data.rho=0.95, trainer.max_epochs=9",
        "data.rho=0.95, trainer.max_epochs=5",
    ]
    assert found[2].seeds == [0, 1]


def test_a_seed_that_is_held_fixed_is_a_setting(run):
    following = [run(seed=seed) for seed in (0, 1)]
    fixed = [run(seed=seed, bias_seed=7) for seed in (0, 1)]
    assert described(groups(fixed)) == [("", [0, 1])]
    found = groups([*following, *fixed])
    assert [group.seeds for group in found] == [[0, 1], [0, 1]]
    assert [group.label for group in found] == ["data.bias_seed=the seed", "data.bias_seed=7"]


def test_a_seed_held_at_the_seed_of_one_run_is_fixed_for_all(run):
    assert described(groups([run(seed=seed, bias_seed=1) for seed in (0, 1, 2)])) == [("", [0, 1, 2])]


def test_other_settings_tell_whether_a_single_seed_is_followed(run):
    found = groups([run(seed=0, bias_seed=0, rho=0.9), run(seed=1, bias_seed=0)])
    assert [group.label for group in found] == ["data.rho=0.9", "data.rho=0.95"]


def test_texts_are_no_settings(run):
    assert described(groups([run(seed=0), run(seed=1, description="other words", claims=[])])) == [("", [0, 1])]


def test_experiments_are_never_mixed(run):
    found = groups([run(), run(name="other"), run(seed=1)])
    assert [(group.name, group.label, group.seeds) for group in found] == [("ddb_tiny", "", [0, 1]), ("other", "", [0])]


def test_of_one_seed_the_newest_run_counts(run):
    old, new = run(metrics={"erm_test": {"test/accuracy": 0.1}}), run(metrics={"erm_test": {"test/accuracy": 0.2}})
    os.utime(old.path / "run.json", (1, 1))
    for order in ([old, new], [new, old]):
        (group,) = groups(order)
        assert group.values("erm_test/accuracy") == {0: 0.2}


def test_a_profile_is_named_instead_of_all_that_it_changes(run):
    small = run(rho=0.5, trainer={"max_epochs": 1})
    record = json.loads((small.path / "run.json").read_text())
    (small.path / "run.json").write_text(json.dumps({**record, "profiles": ["smoke"]}))
    full = [run(rho=rho) for rho in (0.9, 0.95)]
    for each in full:
        (each.path / "run.json").write_text(
            json.dumps({**json.loads((each.path / "run.json").read_text()), "profiles": []})
        )
    labels = [group.label for group in groups([Run(small.path), *(Run(each.path) for each in full)])]
    assert labels == ["profile=smoke", "profile=none, data.rho=0.9", "profile=none, data.rho=0.95"]


def test_a_stage_that_not_all_have_is_named_whole(run):
    without = run()
    path = without.path / "config.yaml"
    config = json.loads(path.read_text())
    config["stages"] = {name: stage for name, stage in config["stages"].items() if not name.startswith("erm")}
    path.write_text(json.dumps(config))
    labels = [group.label for group in groups([run(), Run(without.path), run(rho=0.9)])]
    assert labels == [
        "data.rho=0.95, stages.erm=true",
        "data.rho=0.95, stages.erm=null",
        "data.rho=0.9, stages.erm=true",
    ]


def test_values_are_summed_by_seed_and_incomplete_seeds_left_out(run):
    metrics = [
        {"erm_test": {"test/accuracy": 0.5}, "ddb_test": {"test/accuracy": 0.75}},
        {"erm_test": {"test/accuracy": 0.25}, "ddb_test": {"test/accuracy": None}},
        {"erm_test": {"test/accuracy": 0.25}, "ddb_test": {"test/accuracy": 1.0}},
    ]
    (group,) = groups([run(seed=seed, metrics=own) for seed, own in enumerate(metrics)])
    assert group.values("ddb_test/test/accuracy") == group.values("ddb_test/accuracy") == {0: 0.75, 2: 1.0}
    assert group.values("0.5 * ddb_test/accuracy - erm_test/accuracy") == {0: -0.125, 2: 0.25}
    assert group.missing("ddb_test/accuracy - erm_test/accuracy") == ["ddb_test/accuracy (seed 1)"]
    assert group.missing("later_test/accuracy") == ["later_test/accuracy"]
    assert group.values("later_test/accuracy") == group.values("nowhere/x") == {}


def test_keys_are_those_of_the_artefacts_that_were_read(run):
    (group,) = groups([run(seed=seed) for seed in (0, 1)])
    keys = group.keys("ddb_test/accuracy - ddb_test/loss")
    assert keys == tuple(run.stages["ddb_test"].entry["key"] for run in group.runs.values())


def test_a_single_run_is_a_group(make_run):
    group = Group.of(make_run())
    assert (group.name, group.kind, group.seeds, group.label) == ("ddb_tiny", "embedded", [0], "")
    assert group.stages["erm_test"] == ("ERM", "test")
    assert group.headline == ["accuracy", "conflicting_accuracy"]


def test_claims_of_another_version_are_one_clear_line(make_run):
    group = Group.of(make_run(claims=[{"text": "t", "left": "erm_test/accuracy", "spread": 0.1}]))
    with pytest.raises(UserError, match=r"^ddb_tiny: its claims were written by another version of lab: .*'spread'$"):
        _ = group.claims
