"""The mathematics of debiasing with and without group labels. Pure torch: no trainer, no data.

Sources: generalised cross-entropy (Zhang & Sabuncu 2018, eq. 6); LfF (Nam et al. 2020, with the smoothing and scaling
of its official code); GroupDRO (Sagawa et al. 2020, algorithm 1, with the adjustment of its official code);
pseudo-groups and weights of Diffusing DeBias (Ciranni et al. 2025), whose formulas could only be read at second hand.

What `LossEMA` and `GroupDRO` remember belongs to one training set, so it is not part of the state dict, which another
data set's run loads; who interrupts a training saves the buffers as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Total = Callable[[Tensor], Tensor]
"""Sum of a tensor over the devices; the same on each of them."""

Filter = Literal["none", "mean_std", "iqr"]
Weighting = Literal["lff", "ratio", "ba_loss_only"]
EPSILON = 1e-8


def alone(local: Tensor) -> Tensor:
    """`Total` of one device."""
    return local


def generalised_cross_entropy(logits: Tensor, label: Tensor, q: float = 0.7) -> Tensor:
    """(1 - p^q) / q per row (B,), p being the probability of the label and q in (0, 1].

    q -> 0 is cross-entropy, q = 1 is 1 - p. Its gradient is p^q times that of cross-entropy: easy rows count more.
    (LfF's code weights with q p^q, which is the same up to the learning rate.)
    """
    log_p = F.log_softmax(logits, dim=1).gather(1, label[:, None])[:, 0]
    return -torch.expm1(q * log_p) / q


class LossEMA(nn.Module):
    """Exponential moving average of each training row's loss over its visits (LfF).

    The first visit sets the average to the loss itself; later ones keep the share `alpha` of the old value.

    Args:
        size: training rows.
        num_classes: for the largest average of each class.
    """

    value: Tensor
    label: Tensor

    def __init__(self, size: int, num_classes: int, alpha: float = 0.7):
        super().__init__()
        self.alpha, self.num_classes = alpha, num_classes
        self.register_buffer("value", torch.zeros(size), persistent=False)
        # num_classes stands for a row that was not visited yet
        self.register_buffer("label", torch.full((size,), num_classes), persistent=False)

    def update(self, index: Tensor, label: Tensor, loss: Tensor) -> None:
        """Visit rows once each. index, label: int64 (B,); loss: (B,), of the whole batch on every device."""
        loss = loss.to(self.value.dtype)
        first = self.label[index] == self.num_classes
        old = self.value[index]
        self.value[index] = torch.where(first, loss, self.alpha * old + (1 - self.alpha) * loss)
        self.label[index] = label

    def class_max(self) -> Tensor:
        """Largest average of each class (num_classes,), 0 where no row was visited."""
        return class_max(self.value, self.label, self.num_classes + 1)[: self.num_classes]

    def of(self, index: Tensor, label: Tensor, class_normalise: bool = True) -> Tensor:
        """Averages (B,) of visited rows, divided by the largest of their class on request."""
        value = self.value[index]
        return value / self.class_max()[label].clamp(min=EPSILON) if class_normalise else value


def class_max(value: Tensor, label: Tensor, num_classes: int) -> Tensor:
    """Largest value (num_classes,) of each class, at least 0."""
    return value.new_zeros(num_classes).scatter_reduce(0, label, value, "amax")


def relative_difficulty(biased: Tensor, target: Tensor) -> Tensor:
    """LfF's weight l_B / (l_B + l_D), in [0, 1]: near 1 where the biased model finds a row harder than the target."""
    return biased / (biased + target + EPSILON)


def bounded_weights(
    biased: Tensor,
    target: Tensor,
    weighting: Weighting = "lff",
    w_min: float = 0.1,
    w_max: float | None = None,
    normalise: bool = False,
    total: Total = alone,
) -> Tensor:
    """Weights (B,) of the target's losses in DDB's recipe II.

    Args:
        biased, target: losses (B,) of the amplifier and of the target, as they are to be compared; no gradient.
        weighting: `lff` l_B / (l_B + l_D); `ratio` l_B / l_D; `ba_loss_only` l_B.
        w_min, w_max: bounds; without a floor the aligned rows are forgotten.
        normalise: divide by the mean over the whole batch, which makes the weights' mean 1.
        total: sum over the devices that share the batch.
    """
    if weighting == "lff":
        weight = relative_difficulty(biased, target)
    elif weighting == "ratio":
        weight = biased / (target + EPSILON)
    else:
        weight = biased
    weight = weight.clamp(min=w_min, max=w_max)
    if normalise:
        summed, rows = total(torch.stack([weight.sum(), weight.new_tensor(float(len(weight)))]))
        weight = weight * rows / summed.clamp(min=EPSILON)
    return weight


class GroupDRO(nn.Module):
    """Distributionally robust objective: sum_g q_g L_g, q rising where the loss is high.

    At each step, with L_g the mean loss of the batch's rows of group g (0 without any) and n_g the training rows:
    q_g <- q_g exp(eta (L_g + C / sqrt(n_g))), normalised to sum 1; then the objective with the new q.

    Args:
        counts: training rows of each group (G,). Groups without rows keep q = 0.
        eta: step size of q.
        adjustment: C, the generalisation adjustment of the paper's section 3.3.
    """

    q: Tensor
    counts: Tensor

    def __init__(self, counts: Tensor, eta: float = 0.01, adjustment: float = 0.0):
        super().__init__()
        self.eta, self.adjustment = eta, adjustment
        present = (counts > 0).float()
        self.register_buffer("counts", counts.float(), persistent=False)
        self.register_buffer("q", present / present.sum(), persistent=False)

    def forward(self, losses: Tensor, group: Tensor, total: Total = alone, devices: int = 1) -> Tensor:
        """Update q, and return this device's part of the objective.

        The mean of the parts over the devices is the objective of the whole batch, and so is the mean of their
        gradients, which is what DDP takes: sum_g q_g L_g = 1/W sum_r (W sum_g q_g S_gr / N_g), where device r has the
        summed loss S_gr and N_g counts the rows of all.

        Args:
            losses: (B,), with gradient. group: int64 (B,).
            total: sum over the devices; devices: how many they are.
        """
        sums = losses.new_zeros(len(self.q)).index_add(0, group, losses)
        rows = torch.bincount(group, minlength=len(self.q)).to(sums.dtype)
        all_sums, all_rows = total(torch.stack([sums.detach(), rows]))
        all_rows = all_rows.clamp(min=1)
        step = all_sums / all_rows + self.adjustment / self.counts.clamp(min=1).sqrt()
        q: Tensor = self.q * torch.exp(self.eta * (step - step.max()))  # the shift cancels; it keeps exp finite
        self.q.copy_(q / q.sum())
        part: Tensor = (self.q * sums / all_rows).sum()
        return devices * part


def pseudo_conflicting(
    label: Tensor, prediction: Tensor, loss: Tensor, rule: Filter = "none", gamma: float = 3.0, k: float = 1.5
) -> Tensor:
    """Rows taken for bias-conflicting (n,): those a biased model gets wrong, and that its loss singles out.

    Args:
        label, prediction: int64 (n,); loss: (n,). Of the whole training split, as its statistics are taken.
        rule: `none`, every error; `mean_std`, errors with a loss above mean + gamma std; `iqr`, errors with a loss
            above Q3 + k (Q3 - Q1). The statistics are over all rows; std divides by n.
    """
    wrong = prediction != label
    if rule == "none":
        return wrong
    loss = loss.double()
    if rule == "mean_std":
        return wrong & (loss > loss.mean() + gamma * loss.std(correction=0))
    low, high = _quantile(loss, 0.25), _quantile(loss, 0.75)
    return wrong & (loss > high + k * (high - low))


def _quantile(values: Tensor, at: float) -> Tensor:
    """Linear interpolation, as torch.quantile's, which refuses more than 16 million values."""
    ordered = values.sort().values
    position = at * (len(ordered) - 1)
    low = int(position)
    high = min(low + 1, len(ordered) - 1)
    return torch.lerp(ordered[low], ordered[high], position - low)


def alignment_groups(label: Tensor, conflicting: Tensor, num_classes: int) -> Tensor:
    """Groups (n,): `2 * label + conflicting`; `2 * label` for a class with no conflicting or no aligned row.

    GroupDRO needs groups that have rows: where a class would have one group only, that group is the class.
    """
    rows = torch.bincount(2 * label + conflicting.long(), minlength=2 * num_classes).view(num_classes, 2)
    divided = (rows > 0).all(1)
    return 2 * label + (conflicting & divided[label]).long()


def balanced_weights(group: Tensor, num_groups: int) -> Tensor:
    """Relative probabilities (n,) that draw every group equally often: 1 / rows of the row's group."""
    return 1.0 / torch.bincount(group, minlength=num_groups)[group].double()
