"""What an experiment may say of its results, and where a mistake is pointed at."""

from __future__ import annotations

import pytest

from lab.config import resolve
from lab.config.schema import Cell
from lab.errors import ConfigError
from tests.config.fake_paper import EXPERIMENT

CELL = "cells:\n- {stage: erm_test, metric: accuracy, value: 0.9, table: Table 1, provenance: paper"


def problems(path, **options) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        resolve(path, **options)
    return [str(problem) for problem in caught.value.problems]


def claims(*lines: str) -> str:
    return EXPERIMENT + "claims:\n" + "".join(f"- {{text: t, {line}}}\n" for line in lines)


def test_a_cell_says_where_it_was_read(write):
    (cell,) = resolve(write(f"{EXPERIMENT}{CELL}}}\n")).experiment.cells
    assert cell == Cell("erm_test", "accuracy", 0.9, "Table 1", "paper")
    assert (cell.split, cell.selection, cell.spread, cell.seeds) == ("test", "not stated", None, None)


def test_a_cell_without_its_source_is_refused(write):
    found = problems(write(f"{EXPERIMENT}cells:\n- {{stage: erm_test, metric: accuracy, value: 0.9}}\n"))
    assert found == [f"x.yaml:12: cells.0.{key}: has to be given" for key in ("table", "provenance")]


def test_a_cell_of_a_stage_that_is_not_there(write):
    path = write(EXPERIMENT + CELL.replace("erm_test", "erm_tset") + "}\n")
    assert problems(path) == ["x.yaml:12: cells.0.stage: unknown stage 'erm_tset'; did you mean 'erm_test' or 'erm'?"]


def test_every_mistake_in_claims_is_reported_at_its_line(write):
    path = write(
        claims(
            "left: erm_test/a - erm/b, value: 0",
            "left: emr/a, right: 0.5 * erm_tst/a",
            "left: erm_test/a -erm/b, value: 0",
            "left: erm_test/a",
            "left: erm_test/a, right: erm/a, value: 1",
            'left: erm_test/a, value: 1, relation: "~=", margin: -1',
        )
    )
    assert problems(path) == [
        "x.yaml:13: claims.1.left: unknown stage 'emr'; did you mean 'erm'?",
        "x.yaml:13: claims.1.right: unknown stage 'erm_tst'; did you mean 'erm_test' or 'erm'?",
        "x.yaml:14: claims.2.left: can't read '-erm/b': write `stage/metric` or `0.5 * stage/metric`, "
        "joined by + or - with spaces around them",
        "x.yaml:15: claims.3.right: give one of right and value, neither is given",
        "x.yaml:16: claims.4.right: give one of right and value, both are given",
        "x.yaml:17: claims.5.margin: can't be negative with ~=, is -1.0",
    ]


@pytest.mark.parametrize("override", ["stages.erm_test.enabled=false", "stages.erm_test=null"])
def test_a_claim_about_a_stage_that_is_off_stays(write, override):
    path = write(claims("left: erm_test/a, right: erm/a") + CELL + "}\n")
    found = resolve(path, overrides=[override])
    assert len(found.experiment.claims) == len(found.experiment.cells) == 1
    assert found.experiment.left_out == ["erm_test"]
    again = resolve(write(found.to_yaml(), "config.yaml"))
    assert again.experiment == found.experiment


def test_a_profile_may_take_a_stage_away(write):
    path = write(claims("left: erm_test/a, right: erm/a") + "profiles: {small: {stages: {erm_test: null}}}\n")
    assert resolve(path, profiles=["small"]).experiment.left_out == ["erm_test"]
