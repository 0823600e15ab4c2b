"""Options of the landmark modules. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from lab.config.fields import option
from lab.networks.config import HeatmapNetworkConfig, OptimizerConfig


@dataclass
class LandmarkModuleConfig(OptimizerConfig):
    """A network that is fitted to landmarks, and how places are read off its maps.

    Published (released code): loss channel_ce, target disc, sigma 5 at 256 px, decoder contour, AdamW with lr 1e-4 from
    scratch and 1e-5 pretrained, batch 16, plateau 13, patience 27, at most 200 epochs.
    """

    network: HeatmapNetworkConfig = option(factory=HeatmapNetworkConfig, help="encoder and decoder")
    init: Literal["network", "encoder"] = option(
        "network", "what is taken of the stage in `needs: {init: STAGE}`; the head is new in any case"
    )
    loss: Literal["spatial_ce", "channel_ce"] = option(
        "spatial_ce", "softmax over the pixels of each map, or (released code) over the landmarks at each pixel"
    )
    target: Literal["gaussian", "disc"] = option(
        "gaussian", "a Gaussian, or (released code) the disc at half its height"
    )
    sigma: float = option(5.0, "standard deviation of the Gaussian, in pixels of the squashed image")
    decoder: Literal["argmax", "contour", "soft_argmax"] = option(
        "argmax", "highest pixel with a parabola, centroid above half the maximum, or mean near the highest pixel"
    )
    augment: float = option(0.5, "probability that a training image is moved; 0: never")
    shift: float = option(0.02, "largest shift, as share of the side")
    degrees: float = option(2.0, "largest rotation")
    scale: float = option(0.02, "largest change of size (released code: 0 for the chest)")
    plateau: int | None = option(None, "validations without a lower val/loss after which the learning rate falls")
    plateau_factor: float = option(0.5, "what it is multiplied with then")
    overlays: int = option(8, "images that a predict stage draws its landmarks on; 0: none")
    published: bool = option(
        False, "evaluate as the released code: contours of raw logits, whole pixels, (0, 0) where nothing was found"
    )

    def check(self) -> Iterator[tuple[str, str]]:
        yield from super().check()
        if self.sigma <= 0:
            yield "sigma", f"must be above 0, is {self.sigma}"
        if not 0 <= self.augment <= 1:
            yield "augment", f"is a probability, is {self.augment}"
        for name in ("shift", "degrees", "overlays"):
            if getattr(self, name) < 0:
                yield name, f"must be at least 0, is {getattr(self, name)}"
        if not 0 <= self.scale < 1:
            yield "scale", f"must be in [0, 1), is {self.scale}"
        if self.plateau is not None and self.plateau < 0:
            yield "plateau", f"must be at least 0, is {self.plateau}"
        if self.plateau is not None and self.schedule != "constant":
            yield "schedule", f"has to be constant where plateau lowers the learning rate, is {self.schedule}"
        if not 0 < self.plateau_factor < 1:
            yield "plateau_factor", f"must be in (0, 1), is {self.plateau_factor}"
        if self.published and self.decoder != "contour":
            yield "decoder", f"has to be contour to evaluate as published, is {self.decoder}"
