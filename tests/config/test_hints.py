from __future__ import annotations

import math
from typing import Any, Literal

import pytest

from lab.config.hints import convert, expected, finite


@pytest.mark.parametrize(
    ("hint", "value", "made"),
    [
        (float, 3, 3.0),
        (float, "1e-3", 1e-3),
        (float | None, None, None),
        (float | None, 2, 2.0),
        (int, 1e5, 100000),
        (int, "7", 7),
        (int | None, 4, 4),
        (bool, True, True),
        (str, "x", "x"),
        (str, 3, "3"),
        (Literal["32", "bf16-mixed"], 32, "32"),
        (Literal["32", "64"] | None, 64, "64"),
        (Literal[1, 2], "2", 2),
        (float | Literal["auto"], 3, 3.0),
        (float | Literal["auto"], "auto", "auto"),
        (int | str, 3, 3),
        (tuple[int, ...], [1, 2], (1, 2)),
        (tuple[int, int], [1, "2"], (1, 2)),
        (list[float], [1, 0.5, "2"], [1.0, 0.5, 2.0]),
        (list[list[int]], [[1], []], [[1], []]),
        (dict[str, int], {"a": "1"}, {"a": 1}),
        (Any, {"a": [1, "x"]}, {"a": [1, "x"]}),
        (str, "${literal}", "${literal}"),
    ],
)
def test_values_become_what_the_hint_says(hint: Any, value: Any, made: Any) -> None:
    found = convert(hint, value)
    assert found == made
    assert type(found) is type(made)


@pytest.mark.parametrize(
    ("hint", "value", "words"),
    [
        (float, "abc", "expected a number"),
        (float, True, "expected a number"),
        (float, None, "expected a number"),
        (float | None, "abc", "expected a number"),
        (int, True, "expected a whole number"),
        (int, 1.5, "expected a whole number"),
        (int, "1e3", "expected a whole number"),
        (int, [1], "expected a whole number"),
        (bool, "maybe", "expected true or false"),
        (str, 1.10, "expected text in quotes"),
        (str, True, "expected text in quotes"),
        (str, ["a"], "expected text"),
        (Literal["a", "b"], "c", "expected one of a, b"),
        (Literal["True", "b"], True, "expected one of True, b"),
        (int | Literal["all"], "some", "expected a whole number or all"),
        (tuple[int, int], [1], "expected a list of 2 whole numbers"),
        (tuple[int, ...], [1, "b"], "expected a list of whole numbers"),
        (tuple[int, ...], 3, "expected a list of whole numbers"),
        (list[float], {"a": 1}, "expected a list of numbers"),
        (dict[str, int], {"a": "x"}, "expected a mapping to whole numbers"),
        (dict[str, list[int]], 3, "expected a mapping to lists of whole numbers"),
    ],
)
def test_misfits_are_described_in_plain_words(hint: Any, value: Any, words: str) -> None:
    with pytest.raises(ValueError) as caught:
        convert(hint, value)
    assert str(caught.value) == words
    assert expected(hint) == words.removesuffix(" in quotes")


def test_finite_looks_into_containers() -> None:
    assert finite({"a": [1, 2.0, "nan"], "b": (None, True)})
    assert not finite({"a": [1, math.nan]})
    assert not finite((math.inf,))
