from __future__ import annotations

import pytest

from lab.reports.ledger import claims

PAPER_CELL = {"text": "cell", "left": "ddb_test/conflicting_accuracy", "spread": 0.02, "provenance": "paper"}


def outcomes(run):
    return [verdict.outcome for verdict in claims(run)]


def test_each_claim_gets_a_verdict(make_run):
    assert outcomes(make_run()) == ["holds", "fails", "not comparable", "not run"]


def test_the_numbers_and_their_artefacts_are_named(make_run):
    first, second, third, fourth = claims(make_run())
    assert first.compared == "64.0 %, needs ≥ 41.0 %"
    assert len(first.keys) == 2
    assert second.compared == "31.0 %, needs ≤ 28.4 %"
    assert third.compared == "64.0 %, published 65.0 % ± 2.0 %"
    assert third.origin == "Table 2, paper"
    assert fourth.missing == ("later_test/accuracy",)
    assert fourth.compared == "-, needs ≥ 50.0 %"


@pytest.mark.parametrize(("value", "outcome"), [(0.65, "reproduced"), (0.5, "above"), (0.8, "below")])
def test_a_published_cell_is_compared_at_paper_scale_only(make_run, value, outcome):
    run = make_run(kind="paper-scale", claims=[{**PAPER_CELL, "value": value}])
    assert outcomes(run) == [outcome]


def test_a_stand_in_is_never_comparable(make_run):
    data = {"name": "waterbirds", "stand_in": True}
    run = make_run(kind="paper-scale", data=data, claims=[{**PAPER_CELL, "value": 0.64}])
    assert outcomes(run) == ["not comparable"]


def test_a_bound_of_our_own_is_decided_at_any_scale(make_run):
    claim = {"text": "bound", "left": "ddb_test/accuracy", "value": 0.7, "provenance": "ours"}
    assert outcomes(make_run(claims=[claim])) == ["holds"]


@pytest.mark.parametrize(("margin", "outcome"), [(0.08, "holds"), (0.01, "fails")])
def test_about_equal_allows_the_margin_on_both_sides(make_run, margin, outcome):
    claim = {"text": "near", "relation": "~=", "margin": margin}
    near = [
        {**claim, "left": "ddb_test/accuracy", "right": "erm_test/accuracy"},
        {**claim, "left": "erm_test/accuracy", "right": "ddb_test/accuracy"},
    ]
    assert outcomes(make_run(claims=near)) == [outcome, outcome]


def test_an_unknown_stage_is_missing_not_an_error(make_run):
    (verdict,) = claims(make_run(claims=[{"text": "?", "left": "no_such/accuracy", "right": "erm_test/accuracy"}]))
    assert verdict.outcome == "not run"
    assert verdict.missing == ("no_such/accuracy",)
