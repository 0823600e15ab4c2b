from __future__ import annotations

from lab.cli import main


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
    assert capsys.readouterr().err.count("\n") == 1
