"""Sampling from a fitted diffusion model as a predict stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor, nn

from lab.data.base import Facts
from lab.diffusion.sample import sample, to_uint8
from lab.diffusion.schedules import build_sampler
from lab.errors import UserError
from lab.papers.ddb.config import SamplerConfig
from lab.papers.ddb.diffusion import DiffusionModule
from lab.stages.artefact import Artefact
from lab.stages.module import StageModule, Summary

if TYPE_CHECKING:
    from lab.data.module import Request

COLUMNS = 10
TILE = 64
GAP = 2


class SamplerModule(StageModule):
    """One synthetic image for each requested (index, class), from the model that `inputs["weights"]` holds.

    An image depends on the seed, its index and its class alone, so that it stays the same with another batch size or
    number of devices, up to float error.

    Raises:
        UserError: without a diffusion model among the inputs, or for more steps than it has.
    """

    config: SamplerConfig
    read_bias: Callable[[np.ndarray], np.ndarray | None] | None = None
    """Bias attribute (n,) of uint8 images (n, h, w, c), -1 where none fits; set by the runner where the data has it."""

    def __init__(self, config: SamplerConfig, facts: Facts, inputs: Mapping[str, Artefact] | None = None):
        from lab.stages.load import load_module

        super().__init__(config, facts, inputs)
        if "weights" not in self.inputs:
            raise UserError("ddb_sampler: needs `weights:`, the stage that fitted the diffusion model")
        model = load_module(self.inputs["weights"], facts)
        if not isinstance(model, DiffusionModule):
            raise UserError(f"ddb_sampler: `weights` names a {type(model).__name__}, not a diffusion model")
        try:
            self.scheduler = build_sampler(config.sampler, model.variances, config.steps)
        except ValueError as error:
            raise UserError(f"ddb_sampler: {error}") from None
        self.prediction = model.config.prediction
        # Named as in the diffusion module, so that its weights fit this module, too.
        self.unet, self.ema = model.unet, model.ema
        self.requires_grad_(False)

    def network(self) -> nn.Module:
        """The network that samples: with averaged weights where there are some."""
        return self.unet if self.ema is None else self.ema.module

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the network in place, for batches of one size."""
        self.network().compile(*args, **kwargs)

    def predict_step(self, batch: Request, batch_idx: int) -> dict[str, Tensor]:
        images = sample(
            self.network(),
            batch.label,
            scheduler=self.scheduler,
            guidance_scale=self.config.guidance_scale,
            shape=self.facts.image_shape,
            generators=self.row_generators("sample", batch.index),
            clip=self.config.clip,
            prediction=self.prediction,
        )
        return {"index": batch.index, "label": batch.label, "image": to_uint8(images)}

    def summarise(self, table: Mapping[str, Tensor], names: Sequence[str]) -> Summary:
        """The picture `samples.png`, and how many images carry the bias of their class, where that can be read.

        Metrics: `aligned_share` (of all images; an unreadable one is not aligned), `unreadable_share`, and
        `aligned_share/CLASS`.
        """
        images = table["image"].movedim(1, 3).numpy()
        labels = table["label"].numpy()
        metrics: dict[str, float] = {}
        bias = self.read_bias(images) if self.read_bias is not None and self.facts.aligned.size else None
        if bias is not None:
            metrics = alignment(bias, labels, self.facts)
        return Summary(metrics, {"samples.png": class_grid(images, labels, self.facts.num_classes)})


def alignment(bias: np.ndarray, labels: np.ndarray, facts: Facts) -> dict[str, float]:
    """Shares of aligned and unreadable images; `bias` and `labels` int64 (n,), bias -1 where it can't be read."""
    readable = bias >= 0
    aligned = readable & facts.aligned[labels, np.where(readable, bias, 0)]
    metrics = {"aligned_share": float(aligned.mean()), "unreadable_share": float(1 - readable.mean())}
    for label, name in enumerate(facts.class_names):
        if (labels == label).any():
            metrics[f"aligned_share/{name}"] = float(aligned[labels == label].mean())
    return metrics


def class_grid(images: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """The first images of every class, a row a class, enlarged to about 64 px with white gaps: uint8 (h, w, 3).

    images: uint8 (n, h, w, c), c is 1 or 3; labels: int64 (n,). A class without images is an empty row.
    """
    zoom = max(1, TILE // images.shape[1])
    height, width = images.shape[1] * zoom, images.shape[2] * zoom
    columns = min(COLUMNS, max(int(np.bincount(labels, minlength=1).max()), 1))
    grid = np.full((classes * (height + GAP) + GAP, columns * (width + GAP) + GAP, 3), 255, np.uint8)
    for label in range(classes):
        top = GAP + label * (height + GAP)
        for column, image in enumerate(images[labels == label][:columns]):
            left = GAP + column * (width + GAP)
            grid[top : top + height, left : left + width] = image.repeat(zoom, axis=0).repeat(zoom, axis=1)
    return grid
