from __future__ import annotations

import math

import pytest

from lab.errors import UserError
from lab.reports.run import Run
from lab.reports.tables import Table, costs, duration, metrics_table, results_table, shown, signal_table


def test_results_have_a_row_a_test_stage_and_the_headline_first(make_run):
    table = results_table(make_run())
    assert table.columns == ("method", "accuracy", "conflicting accuracy", "loss")
    assert table.rows == (
        ("ERM", "71.0 %", "31.0 %", "1.25"),
        ("DDB, recipe II", "78.0 %", "64.0 %", "0.61"),
        ("LfF", "-", "-", "-"),
    )


def test_text_shows_the_headline_in_aligned_columns(make_run):
    assert results_table(make_run()).text().splitlines() == [
        "                          conflicting",
        "method          accuracy     accuracy",
        "--------------  --------  -----------",
        "ERM               71.0 %       31.0 %",
        "DDB, recipe II    78.0 %       64.0 %",
        "LfF                    -            -",
    ]


def test_metrics_by_title_make_the_same_table():
    table = metrics_table({"ERM": {"test/loss": 2.0, "test/accuracy": 0.5}}, ["accuracy"])
    assert table.columns == ("method", "accuracy", "loss")
    assert table.rows == (("ERM", "50.0 %", "2"),)


def test_text_shows_every_metric_when_there_is_no_headline(make_run):
    assert "loss" in results_table(make_run(report={"headline": []})).text()


def test_markup_in_a_title_is_escaped():
    table = Table(("method", "a|b"), (("<script>", "1"),), lead=2)
    assert "<script>" not in table.html()
    assert "&lt;script&gt;" in table.html()
    assert table.markdown().splitlines()[0] == "| method | a\\|b |"


def test_signals_are_metrics_of_predict_stages_side_by_side(make_run):
    table = signal_table(Run(make_run()))
    assert table is not None
    assert table.columns == ("metric", "Synthetic images", "Amplifier on the training images")
    assert ("aligned share", "98.5 %", "-") in table.rows
    assert ("precision", "-", "0.9123") in table.rows


def test_costs_tell_ran_cached_and_not_run_apart(make_run):
    rows = {row[0]: row for row in costs(Run(make_run()).stages.values()).rows}
    assert rows["Diffusion model"][1:5] == ("fit", "cached", "1 min 01 s", "512 MiB")
    assert rows["LfF"][2:5] == ("not run", "-", "-")


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("test/accuracy", 0.5, "50.0 %"),
        ("worst_group_accuracy", 1.0, "100.0 %"),
        ("loss", 0.123456, "0.1235"),
        ("rows", 4795.0, "4795"),
        ("loss", math.inf, "inf"),
        ("accuracy", math.nan, "nan"),
        ("accuracy", None, "-"),
    ],
)
def test_shown(name, value, text):
    assert shown(name, value) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "-"), (0.42, "0.4 s"), (12, "12 s"), (185, "3 min 05 s"), (7800, "2 h 10 min")]
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_a_folder_that_is_no_run_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match="is not a run"):
        results_table(tmp_path)
