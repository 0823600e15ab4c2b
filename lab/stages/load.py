"""From an artefact back to the module it holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from lab import registry
from lab.config.build import build_options
from lab.config.fields import named_files
from lab.data.base import Facts
from lab.errors import UserError
from lab.stages.artefact import WEIGHTS, Artefact
from lab.stages.files import sha256
from lab.stages.graph import WEIGHTS_ROLE
from lab.stages.module import StageModule
from lab.stages.seeds import seed_of


def load_module(artefact: Artefact, facts: Facts | None = None) -> StageModule:
    """The fitted module of an artefact, with its weights, on the CPU and in evaluation mode.

    facts: of the data it will see; default those it was fitted with.

    Raises:
        UserError: the artefact holds no weights, or was made by another version of its component.
    """
    module = build_module(artefact, facts or artefact.facts())
    module.load_state_dict(artefact.weights(), strict=True)
    return module.eval()


def build_module(artefact: Artefact, facts: Facts) -> StageModule:
    """The module of a fitted artefact as it was configured, without its weights."""
    if not (artefact.path / WEIGHTS).exists():
        stage = artefact.manifest["stage"]
        raise UserError(f"artefact {artefact.key} ({stage['verb']} stage) holds no weights; name a fit stage")
    # Under its own role `weights`, the module knows that it needs no other pretrained ones.
    return _build(artefact, facts, {**siblings(artefact), WEIGHTS_ROLE: artefact})


def rebuild(artefact: Artefact) -> StageModule:
    """The module of a predict stage as it was, with the weights that it had then, on the CPU.

    Raises:
        UserError: a file that its options name is gone or holds something else now, or the component has another
            version.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed_of(artefact.manifest["stage"], "initialisation"))  # of a network without weights
        module = _build(artefact, artefact.facts(), siblings(artefact))
    hashes = [sha256(path) for path in named_files(module.config)]
    if hashes != artefact.manifest["stage"]["module"].get("files", []):
        raise UserError(
            f"artefact {artefact.key} was made with weights from a file that is another one now: put the old one back, "
            "or run `lab fit` again"
        )
    if WEIGHTS_ROLE in module.inputs:
        module.load_state_dict(module.inputs[WEIGHTS_ROLE].weights(), strict=True)
    return module


def siblings(artefact: Artefact) -> dict[str, Artefact]:
    """What a stage was given, by role."""
    return {role: Artefact(artefact.path.parent / key) for role, key in artefact.manifest["stage"]["inputs"].items()}


def _build(artefact: Artefact, facts: Facts, inputs: Mapping[str, Artefact]) -> StageModule:
    stage: dict[str, Any] = artefact.manifest["stage"]
    component = registry.get("module", stage["module"]["name"])
    if component.version != stage["module"]["version"]:
        raise UserError(
            f"artefact {artefact.key} was made by version {stage['module']['version']} of '{component.name}', "
            f"this is version {component.version}: train it again with `lab fit`"
        )
    config = build_options("module", component.name, stage["module"]["options"])
    module: StageModule = component.target_class()(config, facts, inputs)
    return module
