"""Sums of metrics are read as they are written, or refused with the word that can't be read."""

from __future__ import annotations

import pytest

from lab.config.expressions import Term, parse


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("a_test/accuracy", [(1.0, "a_test", "accuracy")]),
        ("a/x - b/x", [(1.0, "a", "x"), (-1.0, "b", "x")]),
        ("0.5 * a/x + b/y", [(0.5, "a", "x"), (1.0, "b", "y")]),
        ("- a/x - 2e-1 * b/y", [(-1.0, "a", "x"), (-0.2, "b", "y")]),
        ("-3 * a-b/x-y", [(-3.0, "a-b", "x-y")]),
        ("synthetic/aligned_share/3", [(1.0, "synthetic", "aligned_share/3")]),
    ],
)
def test_what_is_written_is_read(text, terms):
    assert parse(text) == tuple(Term(*term) for term in terms)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "its end"),
        ("accuracy", "'accuracy'"),
        ("a/", "'a/'"),
        ("a/x -b/x", "'-b/x'"),
        ("a/x - ", "its end"),
        ("a/x b/x", "'b/x'"),
        ("a/x * 2", "'a/x'"),
        ("2 a/x", "'2'"),
        ("2*a/x", "'2*a/x'"),
        ("nan * a/x", "'nan'"),
        ("a/x + + b/x", "'+'"),
    ],
)
def test_what_is_malformed_is_refused_at_its_word(text, word):
    with pytest.raises(ValueError, match=r"^can't read") as caught:
        parse(text)
    assert str(caught.value).startswith(f"can't read {word}:")
