"""From an artefact back to the module it holds."""

from __future__ import annotations

from typing import Any

from lab import registry
from lab.config.build import build_options
from lab.data.base import Facts
from lab.errors import UserError
from lab.stages.artefact import WEIGHTS, Artefact
from lab.stages.graph import WEIGHTS_ROLE
from lab.stages.module import StageModule


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
    """The module of an artefact as it was configured, without its weights."""
    stage: dict[str, Any] = artefact.manifest["stage"]
    if not (artefact.path / WEIGHTS).exists():
        raise UserError(f"artefact {artefact.key} ({stage['verb']} stage) holds no weights; name a fit stage")
    component = registry.get("module", stage["module"]["name"])
    if component.version != stage["module"]["version"]:
        raise UserError(
            f"artefact {artefact.key} was made by version {stage['module']['version']} of '{component.name}', "
            f"this is version {component.version}: train it again with `lab fit`"
        )
    config = build_options("module", component.name, stage["module"]["options"])
    # Under its own role `weights`, the module knows that it needs no other pretrained ones.
    siblings = {role: Artefact(artefact.path.parent / key) for role, key in stage["inputs"].items()}
    siblings[WEIGHTS_ROLE] = artefact
    module: StageModule = component.target_class()(config, facts, siblings)
    return module
