"""Two numbers of each setting against each other: over settings, over experiments, and where numbers are missing."""

from __future__ import annotations

import pytest

from lab.config.schema import QuantityConfig
from lab.reports.groups import groups
from lab.reports.page import write_full_report
from lab.reports.run import Run
from lab.reports.scatter import scatters

SCATTER = {
    "title": "What the time buys",
    "x": {"of": "diffusion/seconds", "over": "sampling/seconds", "label": "times longer"},
    "y": {"of": "ddb_test/accuracy - erm_test/accuracy", "over": None, "label": "accuracy gained"},
}
REPORT = {"headline": ["accuracy"], "scatter": SCATTER}


@pytest.fixture
def found(make_run):
    """Two seeds of one experiment, two settings of another, and one that says nothing of a scatter."""

    def run(folder: str, erm: float, **changes):
        metrics = {"erm_test": {"test/accuracy": erm}, "ddb_test": {"test/accuracy": 0.8}}
        return make_run(folder, metrics, **{"report": REPORT, **changes})

    run("a0", 0.6)
    run("a1", 0.7, seed=1)
    run("b0", 0.75, name="other")
    run("b1", 0.9, name="other", trainer={"batch_size": 32})
    return run("c", 0.1, name="plain", report={"headline": ["accuracy"]}).parent


def test_a_point_for_each_setting(found) -> None:
    (scatter,) = scatters(groups(Run(path) for path in sorted(found.iterdir())))
    assert scatter.title == "What the time buys"
    assert scatter.table.columns == ("", "setting", "times longer", "accuracy gained", "n")
    rows = {row[1]: row for row in scatter.table.rows}
    assert len(rows) == 3
    assert rows["ddb_tiny"] == ("1", "ddb_tiny", "24.56 ± 0", "15.0 ± 7.1 %", "2")
    assert rows["other trainer.batch_size=64"][3] == "5.0 %"
    assert rows["other trainer.batch_size=32"][3] == "-10.0 %"
    assert "1: 24.56, 15.0 %" in scatter.drawing.alt
    assert scatter.drawing.svg.count("<svg") == 1


def test_it_is_on_the_page_over_several_runs(found) -> None:
    page = write_full_report(found)
    html, text = page.read_text(), page.with_suffix(".md").read_text()
    assert html.index("What the time buys") < html.index("Over all settings")
    assert "| 1 | ddb_tiny | 24.56 ± 0 | 15.0 ± 7.1 % | 2 |" in text


def test_a_single_setting_and_missing_numbers_have_none(make_run) -> None:
    lonely = Run(make_run("a", report=REPORT))
    assert scatters(groups([lonely])) == []
    y = {**SCATTER["y"], "of": "later_test/accuracy"}
    others = [Run(make_run(n, name=n, report={**REPORT, "scatter": {**SCATTER, "y": y}})) for n in ("b", "c")]
    assert scatters(groups(others)) == []


def test_a_ratio_needs_a_divisor(make_run) -> None:
    (group,) = groups([Run(make_run("a", {"erm_test": {"test/accuracy": 0.0}}))])
    assert group.ratio("ddb_test/accuracy", "erm_test/accuracy") == {}
    assert group.ratio("ddb_test/accuracy", "later_test/accuracy") == {}
    assert group.ratio("ddb_test/accuracy", None) == {0: 0.78}


def test_expressions_that_cannot_be_read() -> None:
    assert [key for key, _ in QuantityConfig("accuracy", "x", "a//").check()] == ["of"]
    assert [key for key, _ in QuantityConfig("a/b", "x", "accuracy").check()] == ["over"]
