"""The feature stage: one pass of a frozen backbone over the images of a split, as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from lab.data.base import Facts
from lab.data.batch import Batch
from lab.errors import StageFailed, UserError
from lab.networks import backbones
from lab.papers.features.config import FeaturesConfig
from lab.stages.artefact import Artefact
from lab.stages.load import load_module, rebuild
from lab.stages.module import StageModule, Summary

NAME = "features"
"""Of the component, in the manifests of its artefacts."""

IMAGENET_CLASSES = 1000
"""Of the heads that published weights have. The head makes no difference to the features."""


class Features(StageModule):
    """Features of images: what the backbone's last layer would take, averaged over positions.

    In evaluation mode, without gradients and without augmentation. The backbone is `network`, or that of the fitted
    classifier in the role `model`.

    Columns: `index`; `label`, int64, -1 where it isn't known; `group`, where the data have a bias attribute; `features`
    (n, d) in the type of `storage`.

    Raises:
        UserError: the role `model` names something without a backbone.
        StageFailed: features too large for float16, or not finite.
    """

    config: FeaturesConfig

    def __init__(self, config: FeaturesConfig, facts: Facts, inputs: Mapping[str, Artefact] | None = None):
        super().__init__(config, facts, inputs)
        if "model" in self.inputs:
            network = getattr(load_module(self.inputs["model"]), "network", None)
            if not isinstance(network, backbones.Classifier):
                name = self.inputs["model"].manifest["stage"]["module"]["name"]
                raise UserError(f"features: its model is a '{name}', which has no backbone; name a fitted classifier")
        else:
            network = backbones.build_classifier(config.network, IMAGENET_CLASSES, facts.image_shape[0])
        self.network = network.eval().requires_grad_(False)

    def compile(self, *args: object, **kwargs: object) -> None:
        """Compile the backbone, not the step around it."""
        self.network.compile(*args, **kwargs)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """float32 (B, d) of images (B, c, h, w) in [0, 1]."""
        return self.network.features(images).float()

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        found = self(batch.image).to(getattr(torch, self.config.storage))
        if not found.isfinite().all():
            finite = "are too large for float16: set storage=float32" if self.config.storage == "float16" else "aren't"
            raise StageFailed(f"features: not all are finite; those of the first rows in batch {batch_idx} {finite}")
        columns = {"index": batch.index, "label": batch.label, "features": found}
        return columns | ({"group": batch.group} if self.facts.num_biases else {})

    def summarise(self, table: Mapping[str, Tensor], names: Sequence[str]) -> Summary:
        """`dimensions`: d."""
        return Summary({"dimensions": float(table["features"].shape[1])})


def encoder_of(features: Artefact) -> Features:
    """The stage that made features, to make the same of other images.

    Raises:
        UserError: the artefact is none of features, or the file of its weights is gone or another one now.
    """
    made = rebuild(features)
    if not isinstance(made, Features):
        raise UserError(f"artefact {features.key} holds no features: it was made by a {type(made).__name__}")
    return made.eval()
