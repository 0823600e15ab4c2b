"""Fine-tuning: plain training of all layers, from weights that were learned on other images."""

from __future__ import annotations

from lab.errors import UserError
from lab.networks import backbones
from lab.networks.weights import load_state
from lab.papers.debiasing.classifier import Classifier
from lab.papers.top_tuning.config import FineTuneConfig
from lab.stages.load import load_module


class FineTune(Classifier):
    """Starts from the pretrained weights that `network` names, or from the backbone of the fitted classifier in the
    role `model`, whatever classes that knows; the last layer is new.

    Raises:
        UserError: the role names something without a backbone, or one that doesn't fit `network`.
    """

    config: FineTuneConfig

    def build_network(self) -> backbones.Classifier:
        network = super().build_network()
        if "model" in self.inputs and "weights" not in self.inputs:
            source = getattr(load_module(self.inputs["model"]), "network", None)
            if not isinstance(source, backbones.Classifier):
                raise UserError("top_tuning/fine_tune: `needs: model` has no backbone; name a fitted classifier")
            backbone = {k: v for k, v in source.state_dict().items() if not k.startswith("head.")}
            load_state(network, backbone, head="head", source="the stage in `needs: model`")
        return network
