"""Options of the debiasing modules. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from lab.config.fields import option
from lab.networks.config import NetworkConfig, OptimizerConfig


@dataclass
class ClassifierConfig(OptimizerConfig):
    """Plain training (ERM): every row counts the same. The base of the other modules' options."""

    network: NetworkConfig = option(factory=NetworkConfig, help="backbone and head")
    loss: Literal["ce", "gce"] = option("ce", "cross-entropy, or the generalised one, which makes a model more biased")
    gce_q: float = option(0.7, "q of the generalised cross-entropy, in (0, 1]")
    augment: Literal["none", "flip", "crop", "crop_flip"] = option("none", "random views of training images")
    crop_padding: int = option(4, "largest shift of a crop, in pixels")
    resize_down: int | None = option(None, "shrink images to this side first, as coarse as synthetic ones")
    features: bool = option(False, "predict also stores the features of each row")

    def check(self) -> Iterator[tuple[str, str]]:
        yield from super().check()
        if not 0 < self.gce_q <= 1:
            yield "gce_q", f"must be in (0, 1], is {self.gce_q}"
        if self.crop_padding < 0:
            yield "crop_padding", f"must be at least 0, is {self.crop_padding}"
        if self.resize_down is not None and self.resize_down < 4:
            yield "resize_down", f"must be at least 4 pixels, is {self.resize_down}"


@dataclass
class FilterConfig:
    """Which errors of a biased model are taken for bias-conflicting rows."""

    filter: Literal["none", "mean_std", "iqr"] = option("none", "every error, or those with an outlying loss")
    filter_gamma: float = option(3.0, "mean_std: loss above mean + gamma * std")
    filter_k: float = option(1.5, "iqr: loss above Q3 + k * (Q3 - Q1)")


@dataclass
class GroupDROConfig(ClassifierConfig, FilterConfig):
    """GroupDRO on true groups, or on pseudo-groups from a biased model (DDB's recipe I)."""

    groups: Literal["attribute", "alignment", "signal"] = option(
        "signal", "class x true bias, class x truly conflicting, or class x error of the model in `needs: signal`"
    )
    eta: float = option(0.01, "step size of the group weights")
    adjustment: float = option(0.0, "C in the adjustment C / sqrt(rows of the group)")
    balanced: bool = option(True, "draw every group equally often")

    def check(self) -> Iterator[tuple[str, str]]:
        yield from super().check()
        if self.loss != "ce":
            yield "loss", "the groups' losses are cross-entropy; 'gce' is not used here"
        for name in ("eta", "adjustment"):
            if getattr(self, name) < 0:
                yield name, f"must be at least 0, is {getattr(self, name)}"


@dataclass
class ReweightedConfig(ClassifierConfig):
    """Cross-entropy weighted by the loss of a frozen biased model, from `needs: signal` (DDB's recipe II)."""

    weight: Literal["lff", "ratio", "ba_loss_only"] = option(
        "lff", "biased loss / (biased + own loss), biased / own loss, or biased loss"
    )
    ema: float = option(0.7, "share of the old value in the moving average of the own loss; 0: the last loss")
    class_normalise: bool = option(True, "divide losses by the largest of the same class before they are compared")
    w_min: float = option(0.1, "lowest weight; without a floor aligned rows are forgotten")
    w_max: float | None = option(None, "highest weight")
    normalise_batch_mean_to_1: bool = option(False, "divide the weights by their mean over the batch")

    def check(self) -> Iterator[tuple[str, str]]:
        yield from super().check()
        if self.loss != "ce":
            yield "loss", "the weighted loss is cross-entropy; 'gce' is not used here"
        if not 0 <= self.ema < 1:
            yield "ema", f"must be in [0, 1), is {self.ema}"
        if self.w_min < 0:
            yield "w_min", f"must be at least 0, is {self.w_min}"
        if self.w_max is not None and self.w_max <= self.w_min:
            yield "w_max", f"must be above w_min, {self.w_max} is not above {self.w_min}"


@dataclass
class LfFConfig(ClassifierConfig):
    """Learning from Failure: a biased network (generalised cross-entropy) weights the losses of a second one."""

    ema: float = option(0.7, "share of the old value in the moving averages of the losses")

    def check(self) -> Iterator[tuple[str, str]]:
        yield from super().check()
        if self.loss != "ce":
            yield "loss", "the debiased network has cross-entropy; `gce_q` sets the biased one's loss"
        if not 0 <= self.ema < 1:
            yield "ema", f"must be in [0, 1), is {self.ema}"


@dataclass
class JTTConfig(ClassifierConfig):
    """Just Train Twice: rows that a first model (`needs: signal`) gets wrong are drawn more often."""

    upweight: float = option(20.0, "how much more often an error is drawn than another row")

    def check(self) -> Iterator[tuple[str, str]]:
        yield from super().check()
        if self.upweight < 1:
            yield "upweight", f"must be at least 1, is {self.upweight}"


@dataclass
class DFRConfig(ClassifierConfig):
    """Deep feature reweighting: the last layer is fitted again, on balanced groups of the validation split.

    Only the options of the network and of how images are shown have an effect; nothing is trained by steps. The values
    below are remembered of the paper and its code, not read there.
    """

    groups: Literal["attribute", "alignment"] = option(
        "attribute", "what is balanced: class x true bias, or class x truly conflicting, for biases of many values"
    )
    c: list[float] = option(
        factory=lambda: [1.0, 0.7, 0.3, 0.1, 0.07, 0.03, 0.01],
        help="inverse strengths of the L1 penalty; the best worst group on a held-out half decides",
    )
    retrains: int = option(10, "balanced subsets whose solutions are averaged")

    def check(self) -> Iterator[tuple[str, str]]:
        yield from super().check()
        if not self.c or min(self.c) <= 0:
            yield "c", f"needs one or more numbers above 0, is {self.c}"
        if self.retrains < 1:
            yield "retrains", f"must be at least 1, is {self.retrains}"


@dataclass
class BiasOracleConfig:
    """A biased model that is never wrong about the bias, as it is told the true one."""

    confidence: float = option(0.99, "probability of the class that the bias goes with (ours), in (0.5, 1)")

    def check(self) -> Iterator[tuple[str, str]]:
        if not 0.5 < self.confidence < 1:
            yield "confidence", f"must be in (0.5, 1), is {self.confidence}"
