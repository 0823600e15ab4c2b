from __future__ import annotations

import subprocess
import sys

from lab.cli import main
from lab.sweeps.plan import Job, Request, Sweep
from tests.reports.many import many


def test_report_prints_table_verdicts_and_path(make_run, capsys):
    run = make_run()
    assert main(["report", str(run), "ddb_tiny", "--runs-dir", str(run.parent)]) == 0
    printed = capsys.readouterr().out
    assert printed.count("ERM               71.0 %") == 2  # once for each run that was asked for
    assert "fails: ERM fails" in printed
    assert str(run / "report.html") in printed
    assert (run / "report.md").exists()


def test_an_unknown_run_is_one_line_and_status_2(make_run, capsys):
    run = make_run()
    assert main(["report", "nope", "--runs-dir", str(run.parent)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "no run 'nope'" in said
    assert "sweep" in said


def test_all_runs_on_one_page(make_run, capsys):
    runs = many(make_run(), {0.5: (0, 1), 0.9: (0, 1)})
    assert main(["report", "all", "--runs-dir", str(runs)]) == 0
    assert str(runs / "report.html") in capsys.readouterr().out
    text = (runs / "report.html").read_text()
    assert "data.rho=0.5" in text
    assert "data.rho=0.9" in text


def test_a_sweep_by_its_id(make_run, capsys):
    runs = many(make_run(), {0.5: (0, 1)})
    jobs = [Job(f"ddb_tiny-rho0.5-seed{n}", "tiny.yaml", "ddb_tiny", {"data.rho": "0.5"}, n, {}) for n in (0, 1, 2)]
    sweep = Sweep(runs / "sweeps" / "ddb_tiny-5f2c")
    sweep.write(Request(("tiny.yaml",)), jobs)
    assert main(["report", "ddb_tiny-5f2c", "--runs-dir", str(runs)]) == 0
    printed = capsys.readouterr().out
    assert str(sweep.path / "report.html") in printed
    assert "ERM" in printed
    assert "Jobs: 2 done, 1 waiting." in (sweep.path / "report.html").read_text()


def test_a_report_loads_no_torch(make_run):
    code = (
        f"import sys; from lab.cli import main; main(['report', {str(make_run())!r}]); "
        "print({'torch', 'lightning'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stderr == "set()\n"
