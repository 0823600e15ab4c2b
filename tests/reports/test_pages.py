"""The generated parts of the pages say what is recorded, and nothing else."""

from __future__ import annotations

import json

import pytest

from lab.reports.groups import groups
from lab.reports.pages import CHECKOUT, overview, pages
from lab.reports.recorded import RESULTS, Recorded, record
from lab.reports.results import Results
from lab.reports.run import Run
from lab.stages.graph import hash_of

PART = "a\n<!-- results:start{} -->\nold\n<!-- results:end -->\nb\n"


@pytest.fixture
def checkout(make_run, tmp_path):
    """Two seeds of one experiment recorded, a README, and the pages of two papers."""
    (tmp_path / RESULTS).mkdir(parents=True)
    runs = [Run(make_run(f"seed{seed}", seed=seed)) for seed in (0, 1)]
    (tmp_path / RESULTS / "ddb_tiny.json").write_text(json.dumps(record(groups(runs)[0])))
    (tmp_path / "README.md").write_text(PART.format(""))
    for paper in ("ddb", "other"):
        (tmp_path / "lab" / "papers" / paper).mkdir(parents=True)
        (tmp_path / "lab" / "papers" / paper / "README.md").write_text(PART.format(f" {paper}"))
    return tmp_path


def test_the_pages_say_what_is_recorded():
    """`make pages` brings them up to date."""
    found = dict(pages())
    assert CHECKOUT / "README.md" in found and CHECKOUT / "lab/papers/ddb/README.md" in found
    for page, text in found.items():
        assert page.read_text() == text, f"{page} differs from {RESULTS}: run `make pages`"


@pytest.mark.parametrize("path", sorted((CHECKOUT / RESULTS).glob("*.json")), ids=lambda path: path.stem)
def test_what_is_recorded_is_whole(path):
    recorded = Recorded.load(path)
    assert path.stem.partition("@")[0] == recorded.name
    assert recorded.content["hash"] == hash_of(recorded.config)
    assert recorded.seeds == sorted(set(recorded.seeds))
    assert all(recorded.config_of(seed)["seed"] == seed for seed in recorded.seeds)


def test_the_readme_has_one_table_of_everything(checkout):
    text = dict(pages(checkout))[checkout / "README.md"]
    assert text.startswith("a\n<!-- results:start -->\n| experiment") and text.endswith("<!-- results:end -->\nb\n")
    lines = text.splitlines()
    assert "| `ddb_tiny`, synthetic | *accuracy* | *conflicting accuracy* |  |" in lines
    assert "| DDB, recipe II | 78.0 ± 0.0 % | 64.0 ± 0.0 % | 2 |" in lines
    assert "| LfF | - | - | 0 |" in lines


def test_every_row_of_the_table_is_as_wide_as_its_heading(make_run):
    config = Run(make_run()).config
    wide = Results({**config, "name": "wide", "report": {"headline": ["a", "b", "c"]}}, "data.rho=0.9")
    lines = overview([Results(config), wide]).splitlines()
    assert {line.count("|") for line in lines} == {6}
    assert "| `wide` data.rho=0.9, synthetic | *a* | *b* | *c* |  |" in lines


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"kind": "embedded"}, "synthetic"),
        ({"kind": "real"}, "**real images**"),
        ({"kind": "paper-scale"}, "**PAPER SCALE**"),
        ({"kind": "real", "data": {"name": "waterbirds", "stand_in": True}}, "stand-in"),
    ],
)
def test_kinds_of_data_are_told_apart(make_run, changes, word):
    assert f"| `ddb_tiny`, {word} |" in overview([Results(Run(make_run(**changes)).config)])


def test_a_papers_page_has_results_comparison_and_ledger(checkout):
    found = dict(pages(checkout))
    text = found[checkout / "lab/papers/ddb/README.md"]
    assert "`ddb_tiny`, synthetic: Debiasing" in text and "Seeds 0, 1;" in text
    assert "| DDB, recipe II | +7.0 points [+7.0, +7.0] | +33.0 points [+33.0, +33.0] | 2 |" in text
    assert (
        "| DDB beats ERM by 10 points | **holds** | 64.0 ± 0.0 %, needs ≥ 41.0 %: met by 23.0 points [23.0, 23.0], "
        "2 seeds | ours |"
    ) in text
    other = found[checkout / "lab/papers/other/README.md"]
    assert other == "a\n<!-- results:start other -->\nNothing is recorded yet.\n<!-- results:end -->\nb\n"


EXPERIMENT = """\
name: large
paper: other
description: At the paper's scale
kind: paper-scale
data: {name: shapes}
trainer: {max_epochs: 1}
stages:
  erm: {verb: fit, module: {name: classifier}}
  erm_test: {verb: test, title: ERM, weights: erm}
"""


def test_published_numbers_of_what_was_not_run_stay_visible(checkout):
    cell = "{stage: erm_test, metric: accuracy, value: 0.9, table: Table 1, provenance: paper}"
    (checkout / "experiments" / "large.yaml").write_text(f"{EXPERIMENT}cells: [{cell}]\n")
    (checkout / "experiments" / "without.yaml").write_text(EXPERIMENT.replace("large", "without"))
    text = dict(pages(checkout))[checkout / "lab/papers/other/README.md"]
    assert "`large`, **PAPER SCALE**: At the paper's scale. Not run." in text
    assert "| ERM, accuracy | **not run** | -, published 90.0 % | Table 1, paper |" in text
    assert "without" not in text
