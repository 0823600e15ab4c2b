"""The signal table of any fitted classifier, with its features: what the anomaly stage reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lab.data.base import Facts
from lab.data.batch import Batch
from lab.errors import UserError
from lab.networks.augment import UNIFORMS, augment
from lab.papers.debiasing.classifier import Classifier
from lab.papers.debiasing.lff import LfF
from lab.papers.modad.config import FeaturesConfig
from lab.stages.artefact import Artefact
from lab.stages.load import load_module
from lab.stages.module import StageModule, Summary


class Features(StageModule):
    """Columns of `SignalTable`, features among them, of the classifier in the role `model`.

    Any classifier of this project will do: MoDAD's own biased model, DDB's bias amplifier, or an LfF, whose biased
    network is taken.

    Raises:
        UserError: the role is missing, names another kind of model, or one of other classes than the data's.
    """

    config: FeaturesConfig

    def __init__(self, config: FeaturesConfig, facts: Facts, inputs: Mapping[str, Artefact] | None = None):
        super().__init__(config, facts, inputs)
        if "model" not in self.inputs:
            raise UserError("modad/features: needs a biased model; give the stage `needs: {model: …}`, a fit stage")
        source = self.inputs["model"]
        classes = source.facts().num_classes
        if classes != facts.num_classes:
            raise UserError(f"modad/features: its model knows {classes} classes, the data have {facts.num_classes}")
        model = load_module(source, facts)
        if not isinstance(model, Classifier):
            raise UserError(f"modad/features: its model is a {type(model).__name__}, not a classifier")
        if isinstance(model, LfF):
            if model.biased is None:
                raise UserError("modad/features: its LfF was trained with a given signal, it has no biased network")
            model.network = model.biased
        model.config = replace(model.config, features=True)
        self.model = model.requires_grad_(False)

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Columns of the batch; the image as it is unless `published`, and then a view of the row's own."""
        options = self.model.config
        if self.config.published and options.augment != "none":
            generators = self.row_generators("augment", batch.index)
            uniforms = torch.stack([torch.rand(UNIFORMS, generator=g, device=g.device) for g in generators])
            batch = batch._replace(image=augment(batch.image, uniforms, options.augment, options.crop_padding))
        return self.model.predict_step(batch, batch_idx)

    def summarise(self, table: Mapping[str, Tensor], names: Sequence[str]) -> Summary:
        """As `Classifier.summarise`: accuracies, and how well errors and loss tell conflicting rows."""
        return self.model.summarise(table, names)
