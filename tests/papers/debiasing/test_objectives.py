"""The mathematics of debiasing against closed forms and slow references."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lab.papers.debiasing import objectives as o


def logits_and_labels(rows: int = 12, classes: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, classes, generator=generator, dtype=torch.float64) * 2
    return logits.requires_grad_(), torch.randint(classes, (rows,), generator=generator)


def test_generalised_cross_entropy_is_its_formula() -> None:
    logits, label = logits_and_labels()
    p = logits.softmax(1).gather(1, label[:, None])[:, 0]
    assert torch.allclose(o.generalised_cross_entropy(logits, label, 0.7), (1 - p**0.7) / 0.7)
    assert torch.allclose(o.generalised_cross_entropy(logits, label, 1.0), 1 - p)
    small = o.generalised_cross_entropy(logits, label, 1e-6)
    assert torch.allclose(small, F.cross_entropy(logits, label, reduction="none"), atol=1e-4)


def test_its_gradient_is_that_of_cross_entropy_times_p_to_the_q() -> None:
    logits, label = logits_and_labels()
    p = logits.softmax(1).gather(1, label[:, None])[:, 0].detach()
    (got,) = torch.autograd.grad(o.generalised_cross_entropy(logits, label, 0.7).sum(), logits)
    (plain,) = torch.autograd.grad(F.cross_entropy(logits, label, reduction="sum"), logits)
    assert torch.allclose(got, p[:, None] ** 0.7 * plain)


def test_a_certain_mistake_has_a_finite_gradient() -> None:
    logits = torch.tensor([[200.0, 0.0]], requires_grad=True)
    loss = o.generalised_cross_entropy(logits, torch.tensor([1]), 0.7)
    loss.sum().backward()
    assert loss.item() == pytest.approx(1 / 0.7)
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


class SlowEMA:
    """LfF's bookkeeping one row at a time, as its official code does it."""

    def __init__(self, labels: list[int], alpha: float):
        self.labels, self.alpha = labels, alpha
        self.parameter = [0.0] * len(labels)
        self.updated = [0] * len(labels)

    def update(self, data: list[float], index: list[int]) -> None:
        for row, value in zip(index, data, strict=True):
            kept = self.alpha * self.parameter[row]
            self.parameter[row] = kept + (1 - self.alpha * self.updated[row]) * value
            self.updated[row] = 1

    def max_loss(self, label: int) -> float:
        return max(p for p, own in zip(self.parameter, self.labels, strict=True) if own == label)


def test_lff_weights_equal_the_slow_reference_over_several_visits() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=20)
    slow = [SlowEMA(labels.tolist(), 0.7) for _ in range(2)]
    fast = [o.LossEMA(20, 3, 0.7) for _ in range(2)]
    for _ in range(5):
        index = rng.permutation(20)[:8]
        losses = rng.exponential(size=(2, 8)).astype(np.float32)
        rows, label = torch.from_numpy(index), torch.from_numpy(labels[index])
        scaled: list[list[float]] = []
        for reference, ema, loss in zip(slow, fast, losses, strict=True):
            reference.update(loss.tolist(), index.tolist())
            ema.update(rows, label, torch.from_numpy(loss))
            scaled.append([reference.parameter[i] / reference.max_loss(int(labels[i])) for i in index])
        expected = [b / (b + d + 1e-8) for b, d in zip(*scaled, strict=True)]
        found = o.relative_difficulty(*(ema.of(rows, label) for ema in fast))
        assert found.tolist() == pytest.approx(expected, rel=1e-5)


def test_the_first_visit_is_not_pulled_to_zero() -> None:
    ema = o.LossEMA(4, 2, 0.7)
    one = (torch.tensor([2]), torch.tensor([1]))
    ema.update(*one, torch.tensor([3.0]))
    assert ema.of(*one, class_normalise=False).tolist() == [3.0]
    ema.update(*one, torch.tensor([1.0]))
    assert ema.of(*one, class_normalise=False).tolist() == pytest.approx([0.7 * 3 + 0.3])
    assert ema.class_max().tolist() == pytest.approx([0.0, 2.4])
    assert ema.of(*one).tolist() == [1.0]


def test_recipe_two_weights() -> None:
    biased, target = torch.tensor([1.0, 0.5, 0.0]), torch.tensor([0.25, 0.5, 1.0])
    assert o.bounded_weights(biased, target, "lff").tolist() == pytest.approx([0.8, 0.5, 0.1])
    assert o.bounded_weights(biased, target, "ratio", w_max=3.0).tolist() == pytest.approx([3.0, 1.0, 0.1])
    assert o.bounded_weights(biased, target, "ba_loss_only", w_min=0.2).tolist() == pytest.approx([1.0, 0.5, 0.2])
    normal = o.bounded_weights(biased, target, "lff", normalise=True)
    assert normal.mean() == pytest.approx(1.0)
    assert (normal / normal[1]).tolist() == pytest.approx([1.6, 1.0, 0.2])


def test_normalised_weights_use_the_mean_over_the_devices() -> None:
    generator = torch.Generator().manual_seed(0)
    biased, target = torch.rand(2, 10, generator=generator)
    whole = o.bounded_weights(biased, target, normalise=True)
    sums = torch.stack([o.bounded_weights(biased, target).sum(), torch.tensor(10.0)])
    halves = [
        o.bounded_weights(biased[part], target[part], normalise=True, total=lambda local: sums)
        for part in (slice(5), slice(5, 10))
    ]
    assert torch.allclose(torch.cat(halves), whole)


class OfficialDRO:
    """The loss computer of the official GroupDRO code, with the same default options."""

    def __init__(self, counts: list[int], eta: float, adjustment: float):
        self.counts, self.eta, self.adjustment = np.array(counts), eta, adjustment
        self.q = np.ones(len(counts)) / len(counts)

    def __call__(self, losses: np.ndarray, group: np.ndarray) -> float:
        mean = np.array([losses[group == g].mean() if (group == g).any() else 0.0 for g in range(len(self.q))])
        adjusted = mean + self.adjustment / np.sqrt(self.counts)
        self.q = self.q * np.exp(self.eta * adjusted)
        self.q = self.q / self.q.sum()
        return float(mean @ self.q)


@pytest.mark.parametrize("adjustment", [0.0, 2.0])
def test_group_dro_equals_the_official_steps_with_absent_groups(adjustment: float) -> None:
    rng = np.random.default_rng(0)
    counts = [50, 3, 7, 40]
    official, own = OfficialDRO(counts, 0.3, adjustment), o.GroupDRO(torch.tensor(counts), 0.3, adjustment)
    for step in range(6):
        losses = rng.exponential(size=9).astype(np.float32)
        group = rng.choice([0, 3] if step % 2 else 4, size=9)
        expected = official(losses, group)
        found = own(torch.from_numpy(losses), torch.from_numpy(group))
        assert float(found) == pytest.approx(expected, rel=1e-5)
        assert own.q.tolist() == pytest.approx(official.q.tolist(), rel=1e-5)


def test_q_rises_before_the_loss_is_taken_and_carries_no_gradient() -> None:
    losses = torch.tensor([2.0, 0.0], requires_grad=True)
    dro = o.GroupDRO(torch.tensor([1, 1]), eta=1.0)
    dro(losses, torch.tensor([0, 1])).backward()
    q = torch.tensor([2.0, 0.0]).softmax(0)
    assert torch.allclose(dro.q, q)
    assert losses.grad is not None
    assert torch.allclose(losses.grad, q)
    assert not dro.q.requires_grad


def test_groups_without_training_rows_never_count() -> None:
    dro = o.GroupDRO(torch.tensor([5, 0, 5]), eta=1.0)
    assert dro.q.tolist() == [0.5, 0.0, 0.5]
    dro(torch.tensor([1.0, 300.0]), torch.tensor([0, 2]))
    assert dro.q.tolist() == pytest.approx([0, 0, 1])
    assert dro.q.isfinite().all()


def test_the_mean_gradient_of_the_devices_is_that_of_the_whole_batch() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(5, generator=generator, dtype=torch.float64, requires_grad=True)
    inputs = torch.randn(12, 5, generator=generator, dtype=torch.float64)
    group = torch.tensor([0, 0, 0, 1, 2, 2, 0, 0, 0, 0, 2, 2])  # the second device has no row of group 1
    counts = torch.tensor([6, 1, 4])

    def losses(rows: slice) -> Tensor:
        return (inputs[rows] @ weight) ** 2

    whole = o.GroupDRO(counts, 0.5)
    objective = whole(losses(slice(None)), group)
    (expected,) = torch.autograd.grad(objective, weight)
    parts = [slice(0, 6), slice(6, 12)]
    locals_: list[Tensor] = []
    for part in parts:
        o.GroupDRO(counts, 0.5)(losses(part), group[part], lambda local: locals_.append(local) or local, 2)
    devices = [o.GroupDRO(counts, 0.5) for _ in parts]
    values = [d(losses(p), group[p], lambda _: locals_[0] + locals_[1], 2) for d, p in zip(devices, parts, strict=True)]
    gradients = [torch.autograd.grad(value, weight)[0] for value in values]
    assert torch.allclose((values[0] + values[1]) / 2, objective)
    assert torch.allclose((gradients[0] + gradients[1]) / 2, expected)
    assert all(torch.allclose(device.q, whole.q) for device in devices)


def amplifier(rows: int = 1000) -> tuple[Tensor, Tensor, Tensor]:
    """Label, prediction and loss: 40 errors, of which 10 have a far higher loss than all other rows."""
    label = torch.arange(rows) % 2
    prediction = label.clone()
    prediction[:40] = 1 - label[:40]
    loss = torch.linspace(0.01, 0.3, rows)
    loss[:40] = torch.linspace(0.7, 0.8, 40)
    loss[:10] = 8.0
    return label, prediction, loss


def test_filters_keep_the_errors_that_their_rule_says() -> None:
    label, prediction, loss = amplifier()
    assert int(o.pseudo_conflicting(label, prediction, loss).sum()) == 40
    bound = np.mean(loss.numpy().astype(float)) + 3 * np.std(loss.numpy().astype(float))
    kept = o.pseudo_conflicting(label, prediction, loss, "mean_std", gamma=3.0)
    assert kept.nonzero().flatten().tolist() == list(range(10))
    assert torch.equal(kept, (prediction != label) & (loss > bound))
    low, high = np.quantile(loss.numpy().astype(float), [0.25, 0.75])
    kept = o.pseudo_conflicting(label, prediction, loss, "iqr", k=1.5)
    assert torch.equal(kept, (prediction != label) & (loss > high + 1.5 * (high - low)))
    assert int(kept.sum()) == 40


def test_a_right_row_is_never_conflicting_however_high_its_loss() -> None:
    label, prediction, loss = amplifier()
    loss[500] = 50.0
    for rule in ("none", "mean_std", "iqr"):
        assert not o.pseudo_conflicting(label, prediction, loss, rule)[500]


def test_a_class_without_conflicting_or_without_aligned_rows_is_one_group() -> None:
    label = torch.tensor([0, 0, 1, 1, 2, 2])
    conflicting = torch.tensor([False, True, False, False, True, True])
    assert o.alignment_groups(label, conflicting, 4).tolist() == [0, 1, 2, 2, 4, 4]


def test_balanced_weights_draw_each_group_equally_often() -> None:
    group = torch.tensor([0] * 90 + [1] * 9 + [3])
    weights = o.balanced_weights(group, 4)
    sums = torch.zeros(4, dtype=torch.float64).index_add(0, group, weights)
    assert torch.allclose(sums, torch.tensor([1.0, 1.0, 0.0, 1.0], dtype=torch.float64))
    assert all(a >= 0 for a in weights)
    assert all(a <= b for a, b in pairwise(weights.tolist()))
