"""Rules between stages: who names whom, and what falls away when a stage is off."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from graphlib import CycleError, TopologicalSorter

from lab import registry
from lab.config.build import Builder
from lab.config.expressions import parse
from lab.config.reader import Node, children
from lab.config.schema import Experiment
from lab.errors import UnknownName, did_you_mean

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def check_stages(builder: Builder, root: Node) -> None:
    """Names, references and cycles, on the tree, so that they are found besides problems of type."""
    values = dict(children(root))
    declared = values.get("stages")
    stages = dict(children(declared)) if declared is not None and isinstance(declared.value, dict) else {}
    if declared is not None and declared.value == {}:
        builder.complain(declared, "an experiment needs at least one stage")
    names = [(str(node.value), node) for key, node in values.items() if key == "name" and isinstance(node.value, str)]
    for name, node in [*names, *stages.items()]:
        if not _NAME.fullmatch(name):
            builder.complain(node, f"'{name}' can't name a folder: letters, digits, - and _ only")
    stages = _without_strangers(builder, declared, stages)
    fits = [name for name, stage in stages.items() if _text(stage, "verb") == "fit"]
    for name, stage in stages.items():
        for role, node, source in _references(stage):
            if source not in stages:
                others = [other for other in (fits if role == "weights" else stages) if other != name]
                builder.complain(node, f"unknown stage '{source}'{did_you_mean(source, others)}")
            elif role == "needs.weights":
                builder.complain(node, "the role 'weights' is taken by the stage's own `weights`; choose another")
            elif role == "weights" and source not in fits:
                builder.complain(node, f"stage '{source}' is no fit, it has no weights{_candidates(fits)}")
        if _text(stage, "verb") in ("validate", "test") and _learns(stage) and not list(_references(stage)):
            builder.complain(stage, f"needs `weights`, else random ones would be scored{_candidates(fits)}")
    _check_cycles(builder, stages)
    for _, node in children(values.get("predict", root)) if "predict" in values else ():
        if isinstance(node.value, str) and node.value not in stages:
            builder.complain(node, f"unknown stage '{node.value}'{did_you_mean(node.value, list(stages))}")
    off = [str(node.value) for _, node in children(values["left_out"])] if "left_out" in values else []
    for node, name in [*_stages_of_cells(values), *_stages_of_claims(values)]:
        if name not in stages and name not in off:
            builder.complain(node, f"unknown stage '{name}'{did_you_mean(name, list(stages))}")


def _stages_of_cells(values: dict[str, Node]) -> Iterator[tuple[Node, str]]:
    """The stages that published numbers belong to."""
    for _, cell in children(values["cells"]) if "cells" in values else ():
        node = dict(children(cell)).get("stage")
        if node is not None and isinstance(node.value, str):
            yield node, node.value


def _stages_of_claims(values: dict[str, Node]) -> Iterator[tuple[Node, str]]:
    """The stages that claims compare; a side that can't be read has a line of its own, from its type."""
    for _, claim in children(values["claims"]) if "claims" in values else ():
        for side, node in children(claim):
            if side in ("left", "right") and isinstance(node.value, str):
                with suppress(ValueError):
                    yield from ((node, term.stage) for term in parse(node.value))


def _without_strangers(builder: Builder, declared: Node | None, stages: dict[str, Node]) -> dict[str, Node]:
    """The stages that have a verb. One without it is most likely a misspelt override of another: all else is moot."""
    known = {name: stage for name, stage in stages.items() if "verb" in dict(children(stage))}
    for name in stages.keys() - known.keys():
        builder.unknown(stages[name], f"no such stage{did_you_mean(name, list(known))} (a new one needs a `verb`)")
    if declared is not None and isinstance(declared.value, dict):
        declared.value = dict(known)
    return known


def _check_cycles(builder: Builder, stages: dict[str, Node]) -> None:
    reads = {name: {source for _, _, source in _references(stage)} for name, stage in stages.items()}
    while True:
        try:
            return TopologicalSorter(reads).prepare()
        except CycleError as error:
            ring: list[str] = error.args[1][::-1]
            builder.complain(stages[ring[0]], f"stages wait for each other: {' needs '.join(ring)}")
            reads[ring[0]].remove(ring[1])  # to find the next ring


def _references(stage: Node) -> Iterator[tuple[str, Node, str]]:
    """The stages that a stage reads: key or role, the node that names it, its name."""
    values = dict(children(stage))
    named = [("weights", values["weights"])] if "weights" in values else []
    named += [(f"needs.{role}", node) for role, node in children(values["needs"])] if "needs" in values else []
    yield from ((role, node, node.value) for role, node in named if isinstance(node.value, str) and node.value != "???")


def _text(stage: Node, key: str) -> str | None:
    node = dict(children(stage)).get(key)
    return node.value if node is not None and isinstance(node.value, str) else None


def _learns(stage: Node) -> bool:
    """Whether the module of a stage has something to learn; yes where its name is unknown, of which there is a line."""
    module = dict(children(stage)).get("module")
    name = _text(module, "name") if module is not None else None
    try:
        return name is None or registry.get("module", name).learns
    except UnknownName:
        return True


def _candidates(fits: list[str]) -> str:
    return "; fit stages: " + ", ".join(fits) if fits else "; there is no fit stage"


def drop_disabled(experiment: Experiment) -> set[str]:
    """Take out the stages that are off and those that need them, from stage to stage; the names taken out."""
    off = {name for name, stage in experiment.stages.items() if not stage.enabled}
    reads = {name: {*s.needs.values(), s.weights} for name, s in experiment.stages.items()}
    while more := {name for name, sources in reads.items() if sources & off} - off:
        off |= more
    experiment.stages = {name: stage for name, stage in experiment.stages.items() if name not in off}
    experiment.left_out = sorted({*experiment.left_out, *off})
    predict = experiment.predict
    if predict is not None and predict.model in off:
        experiment.predict = None
    elif predict is not None and predict.bias in off:
        predict.bias = None
    return off
