"""OMES on codes whose score is known, and against the definition written out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pearsonr

from lab.metrics.omes import active_dimensions, ceiling, omes, omes_of, sensitivity

SIZES = (5, 7, 3, 6, 40)
FACTORS = range(5)


def pairs(each: int = 4000, same_allowed: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Factors of pairs that differ in one factor, standardised, and which."""
    rng = np.random.default_rng(0)
    changed = np.repeat(np.arange(5), each)
    first = np.stack([rng.integers(size, size=len(changed)) for size in SIZES], axis=1)
    second = first.copy()
    for factor, size in enumerate(SIZES):
        rows = changed == factor
        shift = rng.integers(0 if same_allowed else 1, size, size=each)
        second[rows, factor] = (first[rows, factor] + shift) % size
    scale = np.sqrt((np.array(SIZES) ** 2 - 1) / 12)
    return first / scale, second / scale, changed


def written_out(first: np.ndarray, second: np.ndarray, changed: np.ndarray, alpha: float, gamma: bool) -> float:
    """Loops, as in the definition."""
    dimensions, total = first.shape[1], 0.0
    s = np.zeros((dimensions, 5))
    for j in FACTORS:
        for d in range(dimensions):
            rows = changed == j
            s[d, j] = 1 - abs(pearsonr(first[rows, d], second[rows, d])[0])
    for j in FACTORS:
        parts: dict[str, list[float]] = {"os": [], "mes": []}
        for d in range(dimensions):
            o = 1 - np.mean([abs((k == j) - s[d, k]) for k in FACTORS])
            m = 1 - np.mean([abs((e == d) - s[e, j]) for e in range(dimensions)])
            parts["os"].append(o * s[d, j])
            parts["mes"].append(m * s[d, j])
        weights = s[:, j] / s[:, j].sum()
        os, mes = (float(weights @ v) if gamma else max(v) for v in (parts["os"], parts["mes"]))
        total += alpha * os + (1 - alpha) * mes
    return total / 5


@pytest.mark.parametrize("gamma", [True, False])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_equals_the_definition(alpha: float, gamma: bool) -> None:
    first, second, changed = pairs(300)
    mix = np.random.default_rng(1).standard_normal((5, 7))
    x, y = first @ mix, second @ mix
    assert omes(x, y, changed, FACTORS, alpha, gamma).omes == pytest.approx(written_out(x, y, changed, alpha, gamma))


def test_an_ideal_code_reaches_the_ceiling() -> None:
    first, second, changed = pairs(20_000)
    found = omes(first, second, changed, FACTORS)
    assert found.association.tolist() == list(FACTORS)
    assert found.omes == pytest.approx(ceiling(SIZES), abs=0.01)
    assert ceiling(SIZES) == pytest.approx(
        np.mean([s * (1 - (1 - s) / 5) for s in (0.75, 5 / 6, 0.5, 0.8, 1 - 1 / 39)])
    )
    freely = omes(*pairs(20_000, same_allowed=True), FACTORS)
    assert freely.omes == pytest.approx(ceiling(SIZES, same_allowed=True), abs=0.06)
    assert ceiling(SIZES, same_allowed=True) == 1
    assert ceiling((2, 2)) == 0


def test_known_codes() -> None:
    """Values that were simulated elsewhere; random turns differ among each other."""
    first, second, changed = pairs()
    rng = np.random.default_rng(0)
    turns = [np.linalg.qr(rng.standard_normal((5, 5)))[0] for _ in range(20)]
    joined = np.eye(5)[:, 1:]
    joined[0, 0] = 1
    noise = rng.standard_normal((2, *first.shape))
    score = {
        "ideal": omes(first, second, changed, FACTORS).omes,
        "duplicated": omes(np.tile(first, 2), np.tile(second, 2), changed, FACTORS).omes,
        "joined": omes(first @ joined, second @ joined, changed, FACTORS).omes,
        "noise": omes(*noise, changed, FACTORS).omes,
    }
    known = {"ideal": 0.726, "duplicated": 0.707, "joined": 0.635, "noise": 0.2}
    assert score == pytest.approx(known, abs=0.035)
    turned = [omes(first @ turn, second @ turn, changed, FACTORS).omes for turn in turns]
    assert min(turned) < 0.44 < max(turned) < score["joined"]


def test_alpha_one_is_modularity_and_zero_compactness() -> None:
    """Duplicated dimensions keep modularity; two factors in one dimension keep compactness."""
    ideal = np.eye(4)
    duplicated = np.concatenate([ideal, ideal])
    joined = np.array([[1.0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    assert omes_of(ideal).omes == 1
    assert omes_of(duplicated, alpha=1).omes == 1
    assert omes_of(duplicated, alpha=0).omes == pytest.approx(1 - 1 / 8)
    assert omes_of(joined, alpha=0).omes == 1
    assert omes_of(joined, alpha=1).omes == pytest.approx((2 * 0.75 + 2) / 4)


def test_inactive_dimensions_are_left_out() -> None:
    first, second, changed = pairs(200)
    rng = np.random.default_rng(0)
    dead = 0.01 * rng.standard_normal((2, len(first), 2))
    padded = [np.insert(codes, [0, 2], extra, axis=1) for codes, extra in zip((first, second), dead, strict=True)]
    assert active_dimensions(padded[0]).tolist() == [1, 2, 4, 5, 6]
    found, plain = omes(padded[0], padded[1], changed, FACTORS), omes(first, second, changed, FACTORS)
    assert found.omes == pytest.approx(plain.omes)
    assert found.association.tolist() == [1, 2, 4, 5, 6]
    with pytest.raises(ValueError, match="no dimension of the code has a standard deviation of"):
        omes(dead[0], dead[1], changed, FACTORS)


def test_a_dimension_that_is_constant_over_pairs_ignores_the_factor() -> None:
    first, second, changed = pairs(50)
    first[changed == 1, 0] = second[changed == 1, 0] = 3
    assert sensitivity(first, second, changed, FACTORS)[0, 1] == 0


def test_too_few_pairs_are_an_error() -> None:
    first, second, changed = pairs(5)
    with pytest.raises(ValueError, match="factor 7 changes in 0 pairs"):
        sensitivity(first, second, changed, [0, 7])
