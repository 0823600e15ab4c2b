"""Fitting a network to landmarks, whatever it starts from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torchmetrics import MeanMetric

from lab.data.base import Facts, LandmarkFacts
from lab.data.landmarks.module import LandmarkBatch
from lab.errors import UserError
from lab.metrics.landmarks import LandmarkErrors, radial_errors
from lab.networks import heatmaps
from lab.networks.affine import UNIFORMS, move_points, random_affine, warp
from lab.networks.optimizers import build_optimizer
from lab.networks.segmentation import build_heatmap_network, start_from
from lab.papers.landmarks.config import LandmarkModuleConfig
from lab.papers.landmarks.pictures import error_chart, overlays
from lab.stages.artefact import Artefact
from lab.stages.module import StageModule, Summary

INIT = "init"
"""Role of the stage whose network a fit begins with."""
NETWORK = "network."


class LandmarkModule(StageModule):
    """A map for each landmark, trained on heatmaps; places are counted in pixels of the original images.

    The network begins at random, with the encoder that `network.encoder_weights` names, or with what the stage in the
    role `init` learned on other landmarks (its head left out); `weights` goes on training one of the same landmarks.

    Logs `train/loss`; `val/<metric>` for `loss` and the metrics of `LandmarkErrors`; `test/<metric>` for these, and the
    mean error of each landmark. `predict_step` returns the columns

        index; size int64 (n, 2), spacing float32 (n, 2): as in `LandmarkBatch`;
        point, truth float32 (n, L, 2): found (NaN: not found) and labelled (NaN: not known), pixels of the original;
        point_mm float32 (n, L, 2): found, in mm from the left and upper edge, where the spacing is known;
        error float32 (n, L): radial error in the unit of the data;
        confidence float32 (n, L), in [0, 1];
        image uint8 (n, s, s), where overlays are drawn.

    Raises:
        UserError: data without landmarks, weights that don't fit, a learning rate that waits for validations that never
            come.
    """

    config: LandmarkModuleConfig

    def __init__(self, config: LandmarkModuleConfig, facts: Facts, inputs: Mapping[str, Artefact] | None = None):
        super().__init__(config, facts, inputs)
        if facts.landmarks is None:
            raise UserError("landmarks/heatmaps: the data have no landmarks; take a data set that has (lab list data)")
        self.landmarks: LandmarkFacts = facts.landmarks
        self.side = facts.image_shape[-1]
        begins = not {INIT, "weights"} & set(self.inputs)
        self.network = build_heatmap_network(config.network, len(self.landmarks.names), self.side, pretrained=begins)
        if INIT in self.inputs and "weights" not in self.inputs:
            self._start_from(self.inputs[INIT])
        self.val_loss = MeanMetric()
        self.val_errors, self.test_errors = self._errors(), self._errors(per_landmark=True)

    def _start_from(self, source: Artefact) -> None:
        name = f"{source.manifest['stage']['module']['name']} (artefact {source.key})"
        state = {k.removeprefix(NETWORK): v for k, v in source.weights().items() if k.startswith(NETWORK)}
        start_from(self.network, state, name, encoder_only=self.config.init == "encoder")

    def _errors(self, **options: Any) -> LandmarkErrors:
        own = self.landmarks
        return LandmarkErrors(own.names, own.unit, own.radii, missing_at_origin=self.config.published, **options)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the network, not the steps around it."""
        self.network.compile(*args, **kwargs)

    def configure_optimizers(self) -> Any:
        config = self.config
        found = build_optimizer(self.parameters(), config, int(self.trainer.estimated_stepping_batches))
        if config.plateau is not None:
            if not self.trainer.limit_val_batches:
                raise UserError(
                    "landmarks/heatmaps: plateau waits for val/loss, but nothing is validated: leave plateau out, or "
                    "give validation labels (data.use_val_labels) and trainer.validate_every above 0"
                )
            schedule = ReduceLROnPlateau(found["optimizer"], factor=config.plateau_factor, patience=config.plateau)
            every = self.trainer.check_val_every_n_epoch
            found["lr_scheduler"] = {
                "scheduler": schedule,
                "monitor": "val/loss",
                "interval": "epoch",
                "frequency": every,
            }
        return found

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, L, s, s) of images (B, 1, s, s), in at least float32."""
        logits: Tensor = self.network(stretched(images))
        return logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits

    def targets(self, points: Tensor) -> Tensor:
        """Maps (B, L, s, s) of places (B, L, 2) in the frame."""
        make = heatmaps.gaussians if self.config.target == "gaussian" else heatmaps.discs
        return make(points, self.side, self.config.sigma)

    def objective(self, logits: Tensor, points: Tensor) -> Tensor:
        """The loss, a scalar. points: (B, L, 2), in the frame."""
        loss = heatmaps.spatial_ce if self.config.loss == "spatial_ce" else heatmaps.channel_ce
        return loss(logits, self.targets(points))

    def locate(self, logits: Tensor) -> Tensor:
        """Places (B, L, 2) in the frame; NaN where nothing was found."""
        config = self.config
        points = heatmaps.decode(
            logits, config.decoder, spatial=config.loss == "spatial_ce", sigma=config.sigma, raw=config.published
        )
        return points.round() if config.published else points

    def training_step(self, batch: LandmarkBatch, batch_idx: int) -> Tensor:
        config = self.config
        if batch_idx == 0 and batch.landmarks.isnan().all():
            raise UserError("landmarks/heatmaps: the training images have no labels; set data.images=labelled")
        images, points = batch.image, heatmaps.to_frame(batch.landmarks, batch.size, self.side)
        if config.augment > 0:
            uniforms = self.draw("augment", lambda n, g: torch.rand(n, UNIFORMS, generator=g, device=g.device))
            moved = random_affine(
                uniforms,
                self.side,
                shift=config.shift,
                degrees=config.degrees,
                scale=config.scale,
                probability=config.augment,
            )
            images, points = warp(images, moved), move_points(points, moved)
        loss = self.objective(self(images), points)
        self.log("train/loss", loss.detach(), batch_size=len(batch.index), sync_dist=True)
        return loss

    def evaluate(self, batch: LandmarkBatch, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Places found and true, (B, L, 2) in pixels of the original."""
        truth = batch.landmarks
        if self.config.published:  # the released code reads the truth off its disc, to whole pixels of the frame
            truth = heatmaps.to_original(heatmaps.to_frame(truth, batch.size, self.side).round(), batch.size, self.side)
        return heatmaps.to_original(self.locate(logits), batch.size, self.side), truth

    def validation_step(self, batch: LandmarkBatch, batch_idx: int) -> None:
        logits = self(batch.image)
        loss = self.objective(logits, heatmaps.to_frame(batch.landmarks, batch.size, self.side))
        self.val_loss.update(loss, len(batch.index))
        points, truth = self.evaluate(batch, logits)
        self.val_errors.update(points, truth, self.pixels(batch.size), batch.spacing)

    def test_step(self, batch: LandmarkBatch, batch_idx: int) -> None:
        points, truth = self.evaluate(batch, self(batch.image))
        self.test_errors.update(points, truth, self.pixels(batch.size), batch.spacing)

    def on_validation_epoch_end(self) -> None:
        self._log("val/", {"loss": self.val_loss.compute(), **self.val_errors.compute()})
        self.val_loss.reset()
        self.val_errors.reset()

    def on_test_epoch_end(self) -> None:
        self._log("test/", self.test_errors.compute())
        self.test_errors.reset()

    def _log(self, prefix: str, found: Mapping[str, Tensor]) -> None:
        self.log_dict({f"{prefix}{name}": value.to(self.device, torch.float32) for name, value in found.items()})

    def pixels(self, size: Tensor) -> Tensor:
        """Counted pixels in a pixel of the original, (B, 2) along x and y. size: int64 (B, 2)."""
        frame = self.landmarks.frame
        return torch.ones_like(size, dtype=torch.float) if frame is None else frame / size

    def predict_step(self, batch: LandmarkBatch, batch_idx: int) -> dict[str, Tensor]:
        config = self.config
        logits = self(batch.image)
        points, truth = self.evaluate(batch, logits)
        in_frame = heatmaps.to_frame(points, batch.size, self.side)
        in_mm = self.landmarks.unit == "mm"
        scale = batch.spacing if in_mm else self.pixels(batch.size)
        columns = {
            "index": batch.index,
            "size": batch.size,
            "spacing": batch.spacing,
            "point": points,
            "truth": truth,
            "error": radial_errors(points, truth, scale).float(),
            "confidence": heatmaps.confidence(
                logits, in_frame, spatial=config.loss == "spatial_ce", sigma=config.sigma
            ),
        }
        if in_mm:
            columns["point_mm"] = (points + 0.5) * batch.spacing[:, None]
        if config.overlays:
            columns["image"] = (255 * stretched(batch.image[:, 0])).round().to(torch.uint8)
        return columns

    def summarise(self, table: Mapping[str, Tensor], names: Sequence[str]) -> Summary:
        """The metrics of `LandmarkErrors` where truth is known; landmarks on some images, and the errors of each."""
        own = self.landmarks
        metric = self._errors(sync_on_compute=False)
        metric.update(table["point"], table["truth"], self.pixels(table["size"]), table["spacing"])
        found = {name: float(value) for name, value in metric.compute().items()}
        found["mean_confidence"] = float(table["confidence"].mean())
        pictures = {}
        if "image" in table:
            pictures["overlays.png"] = overlays(table, names, own.unit, self.config.overlays)
        if not table["error"].isnan().all():
            pictures["errors.png"] = error_chart(table["error"].numpy(), own.names, own.unit, own.radii)
        return Summary(found, pictures)


def stretched(images: Tensor) -> Tensor:
    """Images (B, …, s, s) whose lowest level is 0 and whose highest is 1, each by itself (released code)."""
    low, high = images.amin((-2, -1), keepdim=True), images.amax((-2, -1), keepdim=True)
    return (images - low) / (high - low).clamp(min=1e-6)
