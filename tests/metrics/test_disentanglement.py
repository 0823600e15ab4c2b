"""Scores of disentanglement on codes whose score is known, and against implementations with loops."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import entropy
from sklearn.metrics import mutual_info_score

from lab.metrics import disentanglement as scores

SIZES = (5, 7, 3, 6)
N = 3000


def data(n: int = N) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Factors, an ideal code (standardised factors) and a turned one."""
    rng = np.random.default_rng(0)
    factors = np.stack([rng.integers(size, size=n) for size in SIZES], axis=1)
    ideal = (factors - factors.mean(axis=0)) / factors.std(axis=0)
    return factors, ideal, ideal @ np.linalg.qr(rng.standard_normal((4, 4)))[0]


def noise(n: int = N) -> np.ndarray:
    return np.random.default_rng(9).standard_normal((n, 4))


def binned(codes: np.ndarray, bins: int = 20) -> list[np.ndarray]:
    return [np.digitize(c, np.histogram(c, bins)[1][1:-1]) for c in codes.T]


def test_mutual_information_equals_scikit_learn() -> None:
    factors, ideal, turned = data(500)
    for codes in (ideal, turned, noise(500)):
        expected = [[mutual_info_score(values, b) for values in factors.T] for b in binned(codes)]
        assert scores.mutual_information(codes, factors) == pytest.approx(np.array(expected), abs=1e-10)


def test_mig_and_modularity_equal_the_definitions() -> None:
    factors, _, turned = data(500)
    information = np.array([[mutual_info_score(values, b) for values in factors.T] for b in binned(turned)])
    gaps = []
    for j, values in enumerate(factors.T):
        first, second = sorted(information[:, j])[:-3:-1]
        gaps.append((first - second) / entropy(np.bincount(values)))
    assert scores.mig(turned, factors) == pytest.approx(np.mean(gaps))
    left = []
    for row in information:
        best = max(row**2)
        left.append((sum(row**2) - best) / (best * 3))
    assert scores.modularity(turned, factors) == pytest.approx(1 - np.mean(left))


def test_concentrations_of_importances_equal_the_definition() -> None:
    matrix = np.random.default_rng(0).uniform(size=(6, 4)) ** 3
    rows = [sum(r) * (1 - entropy(r, base=4)) for r in matrix]
    columns = [sum(c) * (1 - entropy(c, base=6)) for c in matrix.T]
    assert scores.disentanglement(matrix) == pytest.approx(sum(rows) / matrix.sum(), abs=1e-6)
    assert scores.completeness(matrix) == pytest.approx(sum(columns) / matrix.sum(), abs=1e-6)
    assert scores.disentanglement(np.eye(4)) == pytest.approx(1, abs=1e-8)
    assert scores.disentanglement(np.ones((6, 4))) == pytest.approx(0, abs=1e-8)
    joined = np.array([[1.0, 1, 0], [0, 0, 1]])
    assert scores.completeness(joined) == pytest.approx(1, abs=1e-8)
    assert scores.disentanglement(joined) == pytest.approx((2 * (1 - np.log(2) / np.log(3)) + 1) / 3, abs=1e-8)


def test_dci_of_known_codes() -> None:
    factors, ideal, turned = data(600)
    found = {name: scores.dci(c, factors, trees=15) for name, c in {"i": ideal, "t": turned, "n": noise(600)}.items()}
    assert found["i"].disentanglement > 0.99 and found["i"].completeness > 0.99 and found["i"].informativeness > 0.99
    assert found["t"].disentanglement < 0.6
    assert found["n"].disentanglement < 0.1
    chance = np.mean([1 / size for size in SIZES])
    assert found["n"].informativeness == pytest.approx(chance, abs=0.06)


def test_scores_of_an_ideal_code() -> None:
    """Two dimensions more, that say nothing, change nothing: what is best is found."""
    factors, ideal, _ = data()
    code = np.concatenate([noise()[:, :1], ideal, noise()[:, 1:2]], axis=1)
    assert scores.mig(ideal, factors) == pytest.approx(1, abs=0.01)
    assert scores.mig(code, factors) == pytest.approx(1, abs=0.02)
    assert scores.modularity(ideal, factors) == pytest.approx(1, abs=0.001)
    assert scores.beta_vae_score(code, factors, train_points=1000, test_points=500) == 1
    assert scores.factor_vae_score(code, factors, train_votes=1000, test_votes=500) == 1
    assert scores.explicitness(ideal, factors) > 0.75
    assert scores.sap(ideal[:1000], factors[:1000]) > 0.2


def test_scores_of_a_turned_code_lie_between() -> None:
    factors, _, turned = data()
    assert 0.02 < scores.mig(turned, factors) < 0.5
    assert scores.modularity(turned, factors) < 0.97
    # What the factors are is all still there.
    assert scores.explicitness(turned, factors) == pytest.approx(scores.explicitness(data()[1], factors), abs=0.01)


def test_scores_of_noise_are_chance() -> None:
    factors = data()[0]
    code = noise()
    assert scores.mig(code, factors) == pytest.approx(0, abs=0.01)
    assert scores.explicitness(code, factors) == pytest.approx(0.5, abs=0.03)
    assert scores.sap(code[:1000], factors[:1000]) == pytest.approx(0, abs=0.04)
    assert scores.beta_vae_score(code, factors, train_points=1000, test_points=500) == pytest.approx(1 / 4, abs=0.08)
    assert scores.factor_vae_score(code, factors, train_votes=1000, test_votes=500) == pytest.approx(1 / 4, abs=0.08)


def test_a_factor_of_forty_values_in_twenty_bins() -> None:
    """The bins take ln 20 of ln 40, however good the code is."""
    values = np.arange(8000)[:, None] % 40
    assert scores.mig(values.astype(float), values) == pytest.approx(np.log(20) / np.log(40), abs=0.01)


def test_factor_vae_score_equals_loops() -> None:
    """On a code that is between, so that the score is neither 0 nor 1."""
    factors, _, turned = data()
    code = turned * [1, 1, 3, 0.2]
    rng = np.random.default_rng(5)
    variance = code.var(axis=0)

    def votes(number: int) -> np.ndarray:
        table = np.zeros((4, 4), dtype=int)
        for _ in range(number):
            j = rng.integers(4)
            value = factors[rng.integers(N), j]
            rows = rng.choice(np.flatnonzero(factors[:, j] == value), 64)
            table[np.argmin(code[rows].var(axis=0) / variance), j] += 1
        return table

    majority = votes(2000).argmax(axis=1)
    table = votes(2000)
    expected = table[np.arange(4), majority].sum() / 2000
    found = scores.factor_vae_score(code, factors, train_votes=2000, test_votes=2000)
    assert expected < 0.95
    assert found == pytest.approx(expected, abs=0.04)


def test_drawn_rows_share_their_factor_and_no_other() -> None:
    factors = data()[0]
    draw = scores.SharedFactor(factors, seed=1)
    shared = np.concatenate(list(draw.blocks(2500)))
    assert len(shared) == 2500 and np.bincount(shared).min() > 500
    first, second = draw.pairs(shared, 3)
    equal = factors[first] == factors[second]
    assert equal[np.arange(2500), :, shared].all()
    others = np.array([equal[shared != j][:, :, j].mean() for j in range(4)])
    assert others == pytest.approx(np.array([1 / size for size in SIZES]), abs=0.03)
    rows = factors[draw.same(shared, 10)]
    assert (rows == rows[:, :1])[np.arange(2500), :, shared].all()


def test_all_scores_leave_out_what_does_not_vary(monkeypatch: pytest.MonkeyPatch) -> None:
    factors, ideal, _ = data(400)
    held = np.concatenate([factors[:, :3], np.zeros((400, 1), dtype=int)], axis=1)
    code = np.concatenate([ideal[:, :3], 0.001 * noise(400)], axis=1)
    for name in ("beta_vae_score", "factor_vae_score"):  # as fast as it is sure
        score = scores.SCORES[name]
        less = {"train_points": 300, "test_points": 100} if "beta" in name else {"train_votes": 300, "test_votes": 100}
        monkeypatch.setitem(scores.SCORES, name, lambda *a, score=score, less=less, **k: score(*a, **k, **less))
    found = scores.all_scores(code, held)
    assert set(found) == {
        "dci_disentanglement",
        "dci_completeness",
        "dci_informativeness",
        "mig",
        "modularity",
        "explicitness",
        "sap",
        "beta_vae_score",
        "factor_vae_score",
    }
    assert found["mig"] == pytest.approx(1, abs=0.05)
    assert all(0 <= value <= 1 for value in found.values())
    with pytest.raises(ValueError, match="no factor varies"):
        scores.all_scores(ideal, held[:, 3:])
