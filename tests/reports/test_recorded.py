"""Recorded results say what the runs found, and each run can be rebuilt from them."""

from __future__ import annotations

import json

import pytest

from lab.cli import main
from lab.config import resolve
from lab.errors import UserError
from lab.reports.groups import Group, groups
from lab.reports.ledger import verdicts
from lab.reports.recorded import RESULTS, Recorded, paths, record, without_places
from lab.reports.run import Run
from lab.reports.tables import comparison_table, costs_table, results_table
from lab.stages.graph import hash_of
from lab.stages.record import RunRecord
from lab.sweeps.plan import Job, Request, Sweep


@pytest.fixture
def three(make_run):
    """One setting with seeds 2, 0 and 1; conflicting accuracy of DDB grows with the seed."""
    runs = []
    for seed in (2, 0, 1):
        metrics = {"ddb_test": {"test/accuracy": 0.78, "test/conflicting_accuracy": 0.35 + 0.1 * seed, "test/x": None}}
        data = {"name": "shapes", "root": f"/data{seed}", "stand_in": False, "bias_seed": seed}
        runs.append(Run(make_run(f"seed{seed}", metrics, seed=seed, data=data, runs_dir="/here")))
    (group,) = groups(runs)
    return group


def edit(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_file_and_its_runs_are_read_alike(three):
    recorded = Recorded(json.loads(json.dumps(record(three), allow_nan=False)))
    assert recorded.seeds == three.seeds == [0, 1, 2]
    assert recorded.values("ddb_test/conflicting_accuracy") == pytest.approx({0: 0.35, 1: 0.45, 2: 0.55})
    assert verdicts(recorded) == verdicts(three)
    for table in (comparison_table, costs_table):
        assert table(recorded) == table(three)
    assert (recorded.name, recorded.kind, recorded.stages) == (three.name, three.kind, three.stages)
    assert [row[:4] for row in results_table(recorded).rows] == [row[:4] for row in results_table(three).rows]


def test_recording_again_gives_the_same_file(three):
    again = groups([Run(run.path) for run in reversed(three.runs.values())])[0]
    assert json.dumps(record(again)) == json.dumps(record(three))


def test_a_file_names_no_folder_and_repeats_nothing(three):
    content = record(three)
    assert "/here" not in json.dumps(content) and "/data" not in json.dumps(content)
    assert content["hash"] == hash_of(content["config"])
    assert [run["environment"] for run in content["runs"]] == [0, 0, 0]
    assert len(content["environments"]) == 1
    assert content["runs"][0]["changes"] == {}
    assert content["runs"][2]["changes"]["data.bias_seed"] == 2


def test_every_run_can_be_rebuilt(three):
    recorded = Recorded(record(three))
    for seed, run in three.runs.items():
        assert recorded.config_of(seed) == without_places(run.config)
    assert recorded.config["seed"] == 0  # untouched
    with pytest.raises(UserError, match="seed 5 is not recorded; there are: 0, 1, 2"):
        recorded.config_of(5)


def test_a_rebuilt_configuration_resolves_to_the_run_that_was_recorded(tmp_path):
    """With a real experiment, through the file."""
    runs = []
    for seed in (0, 1):
        resolved = resolve("ddb_shapes", overrides=[f"seed={seed}", "stages.recipe_1.enabled=false"])
        opened = RunRecord.open(resolved, tmp_path)
        opened.finish("finished")
        runs.append(Run(opened.path))
    (group,) = groups(runs)
    recorded = Recorded(json.loads(json.dumps(record(group))))
    for seed, run in zip((0, 1), runs, strict=True):
        path = tmp_path / "again.yaml"
        path.write_text(json.dumps(recorded.config_of(seed)))
        assert resolve(path).experiment == resolve(run.path / "config.yaml").experiment


def test_a_stage_is_credited_to_the_commit_that_computed_it(three):
    """Not to that of a later run that found it cached."""
    made = {"threads": 1, "device": "cpu", "environment": {"commit": "a" * 40, "dirty": True}}
    for run in three.runs.values():
        for path in run.path.glob("artefacts/*/artefact.json"):
            edit(path, made=made)
        edit(run.path / "environment.json", commit="b" * 40, dirty=False)
    content = record(groups([Run(run.path) for run in three.runs.values()])[0])
    assert {stage["commit"] for run in content["runs"] for stage in run["stages"].values()} == {"a" * 40}
    assert "b" * 40 not in json.dumps(content)
    assert "commit aaaaaaaaaa (changed)" in Recorded(content).provenance()


def test_machines_that_differ_are_kept_apart(three):
    edit(three.runs[1].path / "environment.json", cpu="Another CPU")
    content = record(groups([Run(run.path) for run in three.runs.values()])[0])
    assert [run["environment"] for run in content["runs"]] == [0, 1, 0]
    assert "on A CPU, 2 cores and Another CPU, 2 cores" in Recorded(content).provenance()


def test_an_unfinished_run_is_refused(three):
    edit(three.runs[0].path / "run.json", status="interrupted")
    with pytest.raises(UserError, match="interrupted, not finished"):
        record(Group.of(three.runs[0].path))


@pytest.mark.parametrize("text", ["{", "{}", "[]", '{"config": {}, "runs": []}'])
def test_a_file_that_is_none_of_ours_is_one_clear_line(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"x\.json can't be read as recorded results"):
        Recorded.load(path)


def test_files_are_named_after_the_setting(make_run, tmp_path):
    def group(label, **changes):
        return Group({0: Run(make_run(f"run{len(list(tmp_path.glob('runs/*')))}", **changes))}, label)

    found = [group(""), group("data.rho=0.9, trainer.lr=[1, 2]", name="other")]
    assert paths(found) == [RESULTS / "ddb_tiny.json", RESULTS / "other@data.rho-0.9-trainer.lr-1-2.json"]
    alike = paths([group("a=+1"), group("a=-1", trainer={"batch_size": 32})])  # both would be ddb_tiny@a-1.json
    assert len(set(alike)) == 2 and all(path.name.startswith("ddb_tiny@a-1-") for path in alike)


@pytest.fixture
def recording(three, tmp_path, monkeypatch):
    """`lab record` in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        return main(["record", *words, "--runs-dir", str(tmp_path / "runs")])

    return run


def test_the_command_writes_one_file_a_setting(recording, make_run, capsys):
    data = {"name": "shapes", "root": None, "stand_in": False, "bias_seed": 0}
    make_run("other", seed=0, data=data, trainer={"batch_size": 32})
    assert recording("seed0", "seed1", "seed2", "seed1", "other") == 0
    files = {path.name: Recorded.load(path) for path in RESULTS.glob("*.json")}
    assert {name: found.seeds for name, found in files.items()} == {
        "ddb_tiny@trainer.batch_size-64.json": [0, 1, 2],
        "ddb_tiny@trainer.batch_size-32.json": [0],
    }
    printed = capsys.readouterr().out
    assert "45.0 ± 10.0 %" in printed
    assert "undecided: DDB beats ERM by 10 points" in printed


def test_output_takes_one_setting(recording, make_run, capsys, tmp_path):
    make_run("other", seed=0, trainer={"batch_size": 32})
    assert recording("seed0", "other", "--output", "x.json") == 2
    assert "--output takes one setting, these runs are of 2" in capsys.readouterr().err
    assert recording("seed0", "--output", "sub/x.json") == 0
    assert Recorded.load(tmp_path / "sub" / "x.json").seeds == [0]


def test_unfinished_runs_are_refused_or_left_out(recording, three, capsys):
    edit(three.runs[1].path / "run.json", status="failed")
    assert recording("seed0", "seed1", "seed2") == 2
    error = capsys.readouterr().err
    assert error == "lab: error: 1 of 3 runs are not finished; --partial records the other 2\n"
    assert not list(RESULTS.glob("*"))
    assert recording("seed0", "seed1", "seed2", "--partial") == 0
    assert Recorded.load(RESULTS / "ddb_tiny.json").seeds == [0, 2]
    assert recording("seed1", "--partial") == 2
    assert "none of 1 runs is finished" in capsys.readouterr().err


def test_a_name_that_is_neither_run_nor_sweep_is_one_line(recording, capsys):
    assert recording("nothing") == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_sweep_stands_for_all_its_runs(recording, three, tmp_path, capsys):
    jobs = [Job(run.path.name, "", "ddb_tiny", {}, seed, {}) for seed, run in three.runs.items()]
    sweep = Sweep(tmp_path / "runs" / "sweeps" / "mine-1")
    sweep.write(Request(("ddb_tiny.yaml",)), jobs)
    assert recording("mine-1") == 0
    assert Recorded.load(RESULTS / "ddb_tiny.json").seeds == [0, 1, 2]
    sweep.add([Job("never_started", "", "ddb_tiny", {}, 3, {})])
    assert recording("mine-1") == 2
    assert "1 of 4 runs are not finished; --partial records the other 3" in capsys.readouterr().err
