"""`lab sweep` and `lab reproduce`, as they are typed."""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.cli import main
from lab.sweeps.plan import find_sweep
from tests.stages.toy import PLUGIN, ROOT, installed

GRID = ["--grid", "stages.second.module.lr=0.01,0.02"]
SWEEP = ["sweep", "--config", "toy_line", "trainer.accelerator=cpu", "loggers=[]"]
DEBUG = ["--executor", "debug"]


@pytest.fixture(scope="module", autouse=True)
def toy():
    with installed(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda handle: None)
        yield


def test_the_plan_is_shown_and_nothing_runs(capsys, runs_folder):
    assert main([*SWEEP, *GRID, "--seeds", "2", "--plan-only"]) == 0
    out = capsys.readouterr().out
    assert (
        len(re.findall(r"^toy_line-seed[01]-\w{8}  lr=0.0[12]  seed=[01]  4 of 4 stages to run$", out, re.MULTILINE))
        == 4
    )
    assert "4 jobs, 16 stages, 12 of them distinct, 0 cached, 12 to run" in out
    assert not (runs_folder / "store").exists()


def test_planning_loads_no_torch(runs_folder):
    code = (
        "import sys; from lab.cli import main\n"
        "assert main(['sweep', '--config', 'ddb_shapes', '--seeds', '2', '--plan-only']) == 0\n"
        "assert 'torch' not in sys.modules and 'optuna' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_a_sweep_from_start_to_record(capsys, runs_folder, tmp_path, monkeypatch):
    asked = [*SWEEP, *GRID, "--seeds", "2", *DEBUG]
    assert main(asked) == 0
    out = capsys.readouterr().out
    assert "4 jobs: 4 done" in out
    assert re.search(r"stages\.second\.module\.lr=0\.01\s+second test\s+[\d.e-]+ ± [\d.e-]+\s+2", out)
    report = Path(re.search(r"^report  (.*)$", out, re.MULTILINE)[1])
    assert report.exists() and report.with_suffix(".md").exists()
    sweep = find_sweep("toy_line", runs_folder)
    assert report.parent == sweep.path

    assert main(asked) == 0
    assert "4 jobs: 4 done" in capsys.readouterr().out

    assert main(["sweep", "status", sweep.id]) == 0
    out = capsys.readouterr().out
    assert "4 jobs: 4 done" in out and re.search(r"toy_line lr=0.02\s+2", out)

    assert main(["sweep", "collect", "toy_line"]) == 0
    with (sweep.path / "results.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [(row["stages.second.module.lr"], row["seed"], row["state"]) for row in rows] == [
        (lr, seed, "done") for seed in "01" for lr in ("0.01", "0.02")
    ]
    assert all(0 < float(row["second_test/test/loss"]) < 10 for row in rows)

    monkeypatch.chdir(tmp_path)
    assert main(["record", sweep.id]) == 0
    capsys.readouterr()
    files = sorted((tmp_path / "experiments" / "results").iterdir())
    assert [path.name for path in files] == [f"toy_line@stages.second.module.lr-0.0{i}.json" for i in (1, 2)]

    name = files[0].stem
    assert main(["reproduce", name, "trainer.accelerator=cpu", "--seeds", "1", *DEBUG]) == 0
    out = capsys.readouterr().out
    match = re.search(r"(\d+) of (\d+) metrics of all stages are equal to the last digit", out)
    assert match and match[1] == match[2] != "0"
    assert re.search(r"second test\s+loss\s+([\d.]+)\s+\1\s+0", out)
    assert not list(runs_folder.glob("reproduced/*/toy_line-seed0-*")), "only the seed that was asked for"


def test_a_reworded_claim_reaches_the_report_and_trains_nothing(capsys, runs_folder, tmp_path):
    path = tmp_path / "mine.yaml"
    text = (PLUGIN / "toy_plugin" / "experiments" / "toy_line.yaml").read_text().replace("toy_line", "mine")
    claim = "claims: [{{text: {}, left: second_test/loss, relation: '<=', value: 10.0, provenance: ours}}]\n"
    asked = ["sweep", "--config", str(path), "trainer.accelerator=cpu", "loggers=[]", "--seeds", "2", *DEBUG]
    path.write_text(text + claim.format("it learns"))
    assert main(asked) == 0
    path.write_text(text + claim.format("it learns well"))
    capsys.readouterr()
    assert main(asked) == 0
    out, err = capsys.readouterr()
    assert "holds: it learns well (" in out and ": fit (" not in err
    report = find_sweep("mine", runs_folder).path / "report.md"
    assert "it learns well" in report.read_text()
    written = report.stat().st_mtime_ns
    assert main(asked) == 0
    assert report.stat().st_mtime_ns == written, "nothing is new, nothing is written"


def test_reproduce_says_how_far_it_is_off(capsys, tmp_path):
    assert main([*SWEEP, "--seeds", "1", *DEBUG]) == 0
    file = tmp_path / "toy.json"
    assert main(["record", "toy_line", "--output", str(file)]) == 0
    text = file.read_text()
    loss = re.search(r'"test/loss": ([\d.e-]+)', text)[1]
    file.write_text(text.replace(f'"test/loss": {loss}', f'"test/loss": {float(loss) + 0.5!r}'))
    capsys.readouterr()
    assert main(["reproduce", str(file), "trainer.accelerator=cpu", *DEBUG]) == 0
    out = capsys.readouterr().out
    assert "relatively furthest off is test/loss of second_test with seed 0" in out
    assert re.search(r"second test\s+loss\s+[\d.]+\s+[\d.e-]+\s+0\.5", out)


def test_failures_have_a_line_a_log_and_an_exit_status(capsys, runs_folder):
    asked = [*SWEEP, "--grid", "stages.second.module.nan_at=-1,3", "--seeds", "1"]
    assert main([*asked, "--jobs", "1"]) == 1
    out = capsys.readouterr().out
    (line,) = re.findall(r"^failed: .*$", out, re.MULTILINE)
    log = Path(re.search(r"\(log: (.*)\)$", line)[1])
    assert "second of toy_line nan_at=3 seed=0: stage 'second': loss or weights are not finite" in line
    assert "not finite" in log.read_text()
    assert "1 done, 1 failed" in out
    sweep = find_sweep("toy_line", runs_folder)
    assert main(["sweep", "status", sweep.id]) == 0
    assert line in capsys.readouterr().out
    assert main(["sweep", "retry", sweep.id, *DEBUG]) == 1
    out = capsys.readouterr().out
    assert "1 failed stages are tried again" in out and "1 done, 1 failed" in out


@pytest.mark.skipif(sys.platform != "linux", reason="stops a process by signal and looks at its children")
def test_cancel_from_another_shell_and_going_on(capfd, runs_folder, tmp_path):
    asked = [*SWEEP, "trainer.max_epochs=400", "--seeds", "2", "--jobs", "1"]
    env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{PLUGIN}", "OMP_NUM_THREADS": "1"}
    front = subprocess.Popen([sys.executable, "-m", "lab", *asked], env=env, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 90
        while not list(runs_folder.glob("work/*/recovery.ckpt")) and time.monotonic() < deadline:
            assert front.poll() is None, front.stderr.read()
            time.sleep(0.02)
        sweep = find_sweep("toy_line", runs_folder)
        assert main(["sweep", "status", sweep.id]) == 0
        assert f"worked on by process {front.pid}" in capfd.readouterr().out
        with pytest.raises(SystemExit, match="2"):
            sys.exit(main(asked))
        assert f"is being run by process {front.pid}" in capfd.readouterr().err
        assert main(["sweep", "cancel", sweep.id]) == 0
        assert front.wait(30) == 128 + signal.SIGTERM
        assert "the same command goes on from there" in front.stderr.read()
    finally:
        front.kill()
        front.wait()
    assert sweep.counts() == {"waiting": 2}
    assert main(["sweep", "cancel", sweep.id]) == 0
    assert "nothing runs" in capfd.readouterr().out
    assert main([*asked, "trainer.max_epochs=1", *DEBUG]) == 0  # a shorter one, so that the test is
    assert main(["sweep", "status", sweep.id]) == 0
    assert "no process works on it; `lab sweep retry" in capfd.readouterr().out


@pytest.mark.parametrize(
    "words, message",
    [
        ([], "which experiment"),
        (["status"], "which sweep"),
        (["status", "nothing"], "no sweep 'nothing'"),
        (["--config", "toy_line", "--seeds", "0"], "--seeds 0: expected how many"),
        (["--config", "toy_line", "--seeds", "1,1"], "--seeds 1,1: expected"),
        (["--config", "toy_line", "--grid", "a"], "expected key=a,b"),
        (["--config", "toy_line", "--grid", "stages.secnd.module.lr=1,2"], "did you mean"),
        (["--config", "toy_lin"], "did you mean 'toy_line'"),
        (["--config", "toy_line", "--executor", "slurmm"], "unknown executor 'slurmm'"),
        (["--config", "toy_line", "--until", "ci=zero"], "expected ci=X"),
        (["--config", "toy_line", "--search", "tpe"], "needs --metric"),
        (["--config", "toy_line", "--random", "3"], "choose from --grid"),
        (["--config", "toy_line", "--jobs", "0"], "--jobs 0: at least 1"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(capsys, runs_folder, words, message):
    assert main(["sweep", *words]) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1
    assert not (runs_folder / "store").exists()


def test_reproducing_what_is_not_recorded(capsys):
    assert main(["reproduce", "ddb_biased_mnst"]) == 2
    assert "nothing is recorded as 'ddb_biased_mnst'; did you mean 'ddb_biased_mnist'" in capsys.readouterr().err
    assert main(["reproduce", "ddb_biased_mnist", "--seeds", "7"]) == 2
    assert "seed 7 is not recorded; there are: 0, 1, 2" in capsys.readouterr().err
