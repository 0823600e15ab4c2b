"""Verdicts over seeds: where the interval lies decides, and every number is named."""

from __future__ import annotations

import pytest
from scipy import stats

from lab.config.schema import Claim
from lab.reports.groups import Group, groups
from lab.reports.ledger import claims_text, decide_claim, verdicts
from lab.reports.results import Results
from lab.reports.run import Run
from lab.reports.statistics import Estimate

CELL = {"stage": "ddb_test", "metric": "conflicting_accuracy", "value": 0.65, "table": "Table 2", "provenance": "paper"}
BETTER = {"text": "better", "left": "ddb_test/accuracy", "right": "erm_test/accuracy", "provenance": "ours"}


@pytest.fixture
def seeds(make_run):
    """A group with one run for each pair of accuracies of ERM and DDB."""

    def make(*pairs, **changes):
        runs = []
        for seed, (erm, ddb) in enumerate(pairs):
            metrics = {
                name: {"test/accuracy": value, "test/conflicting_accuracy": value}
                for name, value in (("erm_test", erm), ("ddb_test", ddb))
            }
            runs.append(Run(make_run(f"seed{seed}", metrics, seed=seed, **changes)))
        (group,) = groups(runs)
        return group

    return make


def test_one_run_gets_a_verdict_for_each_entry(make_run):
    found = verdicts(Group.of(make_run()))
    assert [verdict.outcome for verdict in found] == ["not comparable", "holds", "fails", "not run"]


def test_the_numbers_and_their_artefacts_are_named(make_run):
    cell, first, second, last = verdicts(Group.of(make_run()))
    assert cell.text == "DDB, recipe II, conflicting accuracy"
    assert cell.compared == "64.0 %, published 65.0 ± 2.0 %; 1 seed, no interval"
    assert cell.origin == "Table 2, paper, 3 seeds"
    assert (cell.published, cell.bound) == (0.65, None)
    assert first.compared == "64.0 %, needs ≥ 41.0 %; 1 seed, no interval"
    assert len(first.keys) == 2
    assert (first.bound, first.published, first.missing) == (pytest.approx(0.41), None, ())
    assert second.compared == "31.0 %, needs ≤ 28.4 %; 1 seed, no interval"
    assert last.missing == ("later_test/accuracy",)
    assert last.compared == "-, needs ≥ 50.0 %"
    assert (last.ours, last.difference, last.keys) == (None, None, ())


def test_a_claim_is_decided_by_the_paired_interval(seeds):
    """The sides overlap widely; the differences don't."""
    group = seeds((0.20, 0.31), (0.50, 0.60), (0.80, 0.89), cells=[], claims=[{**BETTER, "margin": 0.05}])
    (verdict,) = verdicts(group)
    assert verdict.outcome == "holds"
    interval = stats.ttest_rel([0.31, 0.60, 0.89], [0.25, 0.55, 0.85]).confidence_interval(0.95)
    assert verdict.difference is not None and verdict.ours is not None
    assert (verdict.difference.low, verdict.difference.high) == pytest.approx((interval.low, interval.high))
    assert verdict.ours.mean == pytest.approx(0.6)
    assert verdict.bound == pytest.approx(0.55)
    assert verdict.compared == "60.0 ± 29.0 %, needs ≥ 55.0 %: met by 5.0 points [2.5, 7.5], 3 seeds"


@pytest.mark.parametrize(
    ("pairs", "outcome", "words"),
    [
        ([(0.2, 0.5), (0.2, 0.1), (0.3, 0.5)], "undecided", "met by 13.3 points"),
        ([(0.5, 0.2), (0.5, 0.21), (0.6, 0.3)], "fails", "missed by 29.7 points [28.2, 31.1]"),
        ([(0.5, 0.5), (0.5, 0.5)], "holds", "met by 0.0 points [0.0, 0.0], 2 seeds"),
        ([(0.5, 0.4)], "fails", "needs ≥ 50.0 %; 1 seed, no interval"),
    ],
)
def test_outcomes_over_seeds(seeds, pairs, outcome, words):
    (verdict,) = verdicts(seeds(*pairs, cells=[], claims=[BETTER]))
    assert verdict.outcome == outcome
    assert words in verdict.compared


@pytest.mark.parametrize(
    ("relation", "margin", "values", "outcome"),
    [
        (">=", 0.0, (0.0, 0.0), "holds"),
        (">=", 0.0, (-0.1, -0.1), "fails"),
        ("~=", 0.1, (0.1, 0.1), "holds"),
        ("~=", 0.1, (-0.02, 0.0, 0.02), "holds"),
        ("~=", 0.1, (-0.2, 0.0, 0.2), "undecided"),
        ("~=", 0.1, (0.29, 0.3, 0.31), "fails"),
        ("~=", 0.1, (-0.29, -0.3, -0.31), "fails"),
        ("~=", 0.1, (0.08, 0.1, 0.12), "undecided"),
        ("~=", 0.1, (-0.11,), "fails"),
    ],
)
def test_where_the_interval_lies_decides(relation, margin, values, outcome):
    claim = Claim("t", "a/x", relation, "b/x", margin=margin)
    assert decide_claim(claim, Estimate(values)) == outcome


def test_at_most_is_at_least_turned_around(seeds):
    claim = {**BETTER, "relation": "<=", "left": "erm_test/accuracy", "right": "ddb_test/accuracy", "factor": 0.5}
    (verdict,) = verdicts(seeds((0.2, 0.6), (0.2, 0.8), cells=[], claims=[claim]))
    assert verdict.outcome == "undecided"  # 0.1 and 0.2 to spare, and two seeds say little
    assert verdict.difference is not None and verdict.difference.values == pytest.approx((0.1, 0.2))
    assert verdict.compared.startswith("20.0 ± 0.0 %, needs ≤ 35.0 %: met by 15.0 points [")


def test_about_equal_shows_its_margin(seeds):
    claim = {**BETTER, "relation": "~=", "margin": 0.2}
    (verdict,) = verdicts(seeds((0.5, 0.6), (0.5, 0.6), (0.5, 0.6), cells=[], claims=[claim]))
    assert verdict.outcome == "holds"
    assert verdict.compared == "60.0 ± 0.0 %, needs ≈ 50.0 % ± 20.0 %: differs by +10.0 points [+10.0, +10.0], 3 seeds"


def test_a_gap_between_two_gaps_can_be_claimed(seeds):
    gap = {
        "text": "the gap is below twice ERM's rest",
        "left": "ddb_test/accuracy - erm_test/accuracy",
        "relation": "<=",
        "right": "2 * ddb_test/accuracy - 2 * erm_test/accuracy",
    }
    (verdict,) = verdicts(seeds((0.2, 0.6), (0.3, 0.7), cells=[], claims=[gap]))
    assert verdict.outcome == "holds"
    assert len(verdict.keys) == 4
    assert verdict.compared == "40.0 ± 0.0 %, needs ≤ 80.0 %: met by 40.0 points [40.0, 40.0], 2 seeds"


def test_only_seeds_that_both_sides_have_count(seeds):
    (verdict,) = verdicts(seeds((0.5, 0.6), (None, 0.0), (0.4, 0.5), cells=[], claims=[BETTER]))
    assert (verdict.outcome, verdict.difference.n, verdict.ours.values) == ("holds", 2, (0.6, 0.5))
    assert verdict.missing == ("erm_test/accuracy (seed 1)",)


def test_nothing_is_decided_without_a_shared_seed(seeds):
    (verdict,) = verdicts(seeds((0.5, None), (None, 0.7), cells=[], claims=[BETTER]))
    assert verdict.outcome == "not run"
    assert verdict.missing == ("ddb_test/accuracy (seed 0)", "erm_test/accuracy (seed 1)")


@pytest.mark.parametrize(
    ("ours", "spread", "outcome"),
    [
        ([0.65], None, "reproduced"),
        ([0.67], 0.03, "reproduced"),
        ([0.67], 0.01, "above"),
        ([0.60, 0.69], None, "below"),  # two seeds: the interval is not counted
        ([0.60, 0.64, 0.68], None, "reproduced"),  # half of the interval is 0.099
        ([0.680, 0.681, 0.682], None, "above"),
        ([0.680, 0.681, 0.682], 0.03, "reproduced"),
        ([0.5, 0.5, 0.5], 0.1, "below"),
    ],
)
def test_a_published_number_is_reproduced_within_its_spread_and_our_interval(seeds, ours, spread, outcome):
    cells = [{**CELL, "spread": spread}]
    group = seeds(*((0.1, value) for value in ours), kind="paper-scale", cells=cells, claims=[])
    (verdict,) = verdicts(group)
    assert verdict.outcome == outcome
    assert verdict.difference is not None
    assert verdict.difference.values == pytest.approx([value - 0.65 for value in ours])


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "real"},
        {"kind": "paper-scale", "data": {"name": "waterbirds", "stand_in": True}},
        {"kind": "paper-scale", "cells": [{**CELL, "value": 0.64, "split": "val"}]},
    ],
)
def test_what_is_not_comparable(make_run, changes):
    group = Group.of(make_run(**{"cells": [{**CELL, "value": 0.64}], "claims": [], **changes}))
    assert [verdict.outcome for verdict in verdicts(group)] == ["not comparable"]


def test_the_origin_of_a_cell_says_all_that_is_known(make_run):
    cell = {**CELL, "provenance": "secondary", "seeds": 1, "selection": "best on val", "note": "another tuning"}
    (verdict,) = verdicts(Group.of(make_run(cells=[cell], claims=[])))
    assert verdict.origin == "Table 2, secondary, 1 seed, chosen by best on val, another tuning"


def test_an_experiment_that_was_not_run_shows_what_it_would_need(make_run):
    planned = Results({**Run(make_run()).config, "stages": {}})
    found = verdicts(planned)
    assert {verdict.outcome for verdict in found} == {"not run"}
    assert found[0].text == "ddb test, conflicting accuracy"
    assert found[1].compared == "-, needs ≥ erm_test/conflicting_accuracy + 0.1"
    assert found[2].compared == "-, needs ≤ 0.4 * erm_test/accuracy"


def test_text_has_a_line_for_each_entry(make_run):
    run = make_run()
    lines = claims_text(run).splitlines()
    assert lines == claims_text(Group.of(run)).splitlines()
    assert lines[1] == "holds: DDB beats ERM by 10 points (64.0 %, needs ≥ 41.0 %; 1 seed, no interval)"
    assert claims_text(make_run("bare", cells=[], claims=[])) == ""
