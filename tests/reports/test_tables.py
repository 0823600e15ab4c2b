from __future__ import annotations

import json
import math

import pytest
from scipy import stats

from lab.errors import UserError
from lab.reports.groups import Group, groups
from lab.reports.run import Run
from lab.reports.statistics import Estimate
from lab.reports.tables import (
    Table,
    comparison_table,
    costs,
    costs_table,
    difference,
    duration,
    mean_and_spread,
    metrics_table,
    results_table,
    shown,
    signal_table,
    spread,
)


def test_results_have_a_row_a_test_stage_and_the_headline_first(make_run):
    table = results_table(make_run())
    assert table.columns == ("method", "accuracy", "conflicting accuracy", "time", "loss")
    assert table.rows == (
        ("ERM", "71.0 %", "31.0 %", "2.5 s", "1.25"),
        ("DDB, recipe II", "78.0 %", "64.0 %", "-", "0.61"),
        ("LfF", "-", "-", "-", "-"),
    )


def test_text_shows_the_headline_in_aligned_columns(make_run):
    assert results_table(make_run()).text().splitlines() == [
        "                          conflicting",
        "method          accuracy     accuracy   time",
        "--------------  --------  -----------  -----",
        "ERM               71.0 %       31.0 %  2.5 s",
        "DDB, recipe II    78.0 %       64.0 %      -",
        "LfF                    -            -      -",
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
    table = signal_table(make_run())
    assert table is not None
    assert table.columns == ("metric", "Synthetic images", "Amplifier on the training images")
    assert ("aligned share", "98.5 %", "-") in table.rows
    assert ("precision", "-", "0.9123") in table.rows


@pytest.fixture
def group(make_run):
    """Three seeds; the last one has no conflicting accuracy of ERM and twice the time of its diffusion model."""
    runs = []
    for seed, conflicting in enumerate((0.3, 0.4, None)):
        metrics = {"erm_test": {"test/accuracy": 0.7 + 0.1 * seed, "test/conflicting_accuracy": conflicting}}
        runs.append(make_run(f"seed{seed}", metrics, seed=seed))
    path = runs[2] / "run.json"
    record = json.loads(path.read_text())
    record["stages"]["diffusion"] |= {"seconds": 2 * 61.4, "peak_memory_mib": 2048}
    path.write_text(json.dumps(record))
    (group,) = groups([Run(run) for run in runs])
    return group


def test_results_of_several_seeds_say_how_many_they_are_of(group):
    table = results_table(group)
    assert table.columns == ("method", "accuracy", "conflicting accuracy", "n", "time", "loss")
    assert table.lead == 5
    assert table.rows == (
        ("ERM", "80.0 ± 10.0 %", "35.0 ± 7.1 % (2)", "3", "2.5 s", "-"),
        ("DDB, recipe II", "78.0 ± 0.0 %", "64.0 ± 0.0 %", "3", "-", "0.61 ± 0"),
        ("LfF", "-", "-", "0", "-", "-"),
    )


def test_time_is_that_of_all_stages_behind_a_method(make_run):
    """The diffusion model's 61.4 s are behind both methods that go on from its samples; each counts them once."""
    stages = {
        "diffusion": {"verb": "fit"},
        "sampling": {"verb": "predict", "weights": "diffusion"},
        "erm": {"verb": "fit", "needs": {"images": "sampling", "weights_of": "diffusion"}},
        "erm_test": {"verb": "test", "weights": "erm"},
    }
    run = make_run(stages=stages)
    assert sorted(Group.of(run).behind("erm_test")) == ["diffusion", "erm", "sampling"]
    assert results_table(run).rows[0][3] == "1 min 06 s"  # 61.4 + 2.5 + 2.5


def test_time_in_expressions_leaves_evaluation_out(make_run):
    """Features of test rows and the test itself are no part of what a method costs, whichever stage of it is asked."""
    stages = {
        "diffusion": {"verb": "fit"},
        "features_train": {"verb": "predict", "weights": "diffusion", "split": "train"},
        "features_test": {"verb": "predict", "weights": "diffusion", "split": "test"},
        "head": {"verb": "fit", "needs": {"train": "features_train"}},
        "head_test": {"verb": "test", "weights": "head", "needs": {"test": "features_test"}},
    }
    group = Group.of(make_run(stages=stages))
    assert group.values("head_test/time") == group.values("head/time") == {0: pytest.approx(61.4 + 2.5 + 2.5)}
    assert group.values("diffusion/time") == group.values("diffusion/seconds") == {0: 61.4}
    assert group.values("head_test/time - 2 * head/seconds") == {0: pytest.approx(61.4)}
    assert group.values("gone/time") == group.values("gone/seconds") == {}
    assert group.missing("gone/time") == ["gone/time"]
    assert len(group.keys("head_test/time")) == 3
    assert results_table(make_run("again", stages=stages)).rows[0][3] == "1 min 06 s"


def test_signals_of_several_seeds_are_means(group):
    table = signal_table(group)
    assert table is not None and ("precision", "-", "0.9123 ± 0") in table.rows


def test_all_headline_metrics_are_compared_side_by_side(group):
    """The first test stage is the baseline; only seeds that both have count."""
    low, high = stats.ttest_rel([0.64, 0.64], [0.3, 0.4]).confidence_interval(0.95)
    table = comparison_table(group)
    assert table.columns == ("against ERM", "accuracy", "conflicting accuracy", "n")
    conflicting = f"+29.0 points [{100 * low:+.1f}, {100 * high:+.1f}]"
    assert table.rows[0] == ("DDB, recipe II", "-2.0 points [-26.8, +22.8]", conflicting, "3")
    assert table.rows[1] == ("LfF", "-", "-", "0")


def test_a_single_run_is_compared_without_an_interval(make_run):
    (single,) = groups([Run(make_run())])
    assert comparison_table(single).rows[0] == ("DDB, recipe II", "+7.0 points", "+33.0 points", "1")


def test_costs_over_seeds_are_means_and_the_largest_memory(group):
    rows = {row[0]: row[1:] for row in costs_table(group).rows}
    assert rows["Diffusion model"] == ("fit", "1 min 22 s ± 35 s", "86.8 %", "2,048 MiB", "3")
    assert rows["LfF"] == ("test", "-", "-", "-", "0")
    assert rows["all stages"] == ("", "1 min 34 s ± 35 s", "100.0 %", "2,048 MiB", "3")


@pytest.mark.parametrize(
    ("share", "values", "text"),
    [
        (True, (0.5,), "50.0 %"),
        (False, (1.0, 3.0), "2 ± 1.4"),
        (False, (19000.0, 19001.0), "19000 ± 0.71"),
        (True, (0.1, 0.2, 0.3), "20.0 ± 10.0 %"),
    ],
)
def test_mean_and_spread(share, values, text):
    assert mean_and_spread(share, Estimate(values)) == text


def test_nothing_known_is_shown_as_such():
    assert mean_and_spread(True, None) == "-"
    assert spread(False, 0.25, None) == "0.25"


def test_a_difference_has_its_interval_and_may_do_without_a_sign():
    assert difference(True, Estimate((0.1, 0.1))) == "+10.0 points [+10.0, +10.0]"
    assert difference(False, Estimate((-0.5, -0.5)), signed=False) == "-0.5 [-0.5, -0.5]"
    assert difference(False, Estimate((0.25,))) == "+0.25"


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
