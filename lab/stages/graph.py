"""From an experiment to its stages in order, each with the key of its artefact. No torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from lab import env, registry
from lab.config.fields import as_plain, named_files
from lab.config.schema import ComponentChoice, Experiment, StageConfig
from lab.data.prepare import prepared, stand_in_folder
from lab.errors import DataError
from lab.stages.files import sha256
from lab.stages.store import Store

FORMAT = 1
"""Part of every key: raised when the stage machinery itself changes what it computes."""

WEIGHTS_ROLE = "weights"


@dataclass(frozen=True)
class Node:
    """One stage of a plan.

    inputs: role -> name of the stage it reads; `weights` is one of the roles.
    key: of its artefact; None while it can't be known (data absent, or a stand-in that was not generated yet).
    material: what the key was made from, kept in the artefact's manifest.
    """

    name: str
    stage: StageConfig
    inputs: Mapping[str, str]
    key: str | None
    cached: bool
    material: Mapping[str, Any]


def runs_dir(experiment: Experiment) -> Path:
    """Where this experiment's runs and artefacts are."""
    return Path(experiment.runs_dir).expanduser() if experiment.runs_dir else env.RUNS.path()


def plan(
    experiment: Experiment, *, prepare: bool = False, fingerprints: dict[str, str | None] | None = None
) -> list[Node]:
    """Stages in an order in which each finds its inputs.

    prepare: generate stand-ins and insist on the data, instead of leaving keys unknown.
    fingerprints: of data sets, filled in here; handed from plan to plan, where many are made at once.

    Raises:
        DataError: with `prepare`, when a data set is absent or damaged.
    """
    store = Store(runs_dir(experiment))
    fingerprints = {} if fingerprints is None else fingerprints
    nodes: dict[str, Node] = {}
    for name in ordered(experiment.stages):
        stage = experiment.stages[name]
        inputs = inputs_of(stage)
        material = _material(stage, experiment, store, fingerprints, prepare)
        keys = {role: nodes[source].key for role, source in inputs.items()}
        if material is None or None in keys.values():
            nodes[name] = Node(name, stage, inputs, None, False, {})
            continue
        material["inputs"] = keys
        key = hash_of(material)
        nodes[name] = Node(name, stage, inputs, key, store.get(key) is not None, material)
    return list(nodes.values())


def ordered(stages: Mapping[str, StageConfig]) -> list[str]:
    """Names of the stages, inputs first, otherwise as they are written."""
    sorter = TopologicalSorter({name: list(inputs_of(stage).values()) for name, stage in stages.items()})
    sorter.prepare()
    rank = {name: place for place, name in enumerate(stages)}
    order: list[str] = []
    ready: list[str] = []
    while sorter.is_active():
        ready = sorted({*ready, *sorter.get_ready()}, key=rank.__getitem__)
        first = ready.pop(0)
        order.append(first)
        sorter.done(first)
    return order


def inputs_of(stage: StageConfig) -> dict[str, str]:
    """role -> stage name, the weights included."""
    return {**({WEIGHTS_ROLE: stage.weights} if stage.weights else {}), **stage.needs}


def hash_of(material: Mapping[str, Any]) -> str:
    """20 hexadecimal digits."""
    text = json.dumps(material, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def needed_for(nodes: Iterable[Node], wanted: Iterable[str]) -> list[Node]:
    """The nodes that the wanted stages need, themselves included, in order."""
    by_name = {node.name: node for node in nodes}
    keep: set[str] = set()
    waiting = list(wanted)
    while waiting:
        name = waiting.pop()
        if name not in keep:
            keep.add(name)
            waiting.extend(by_name[name].inputs.values())
    return [node for node in by_name.values() if node.name in keep]


def _material(
    stage: StageConfig, experiment: Experiment, store: Store, fingerprints: dict[str, str | None], prepare: bool
) -> dict[str, Any] | None:
    assert stage.module is not None and stage.data is not None and stage.trainer is not None  # a resolved experiment
    data = _component("data", stage.data)
    component = registry.get("data", stage.data.name)
    if component.dataset is not None:
        label = json.dumps([data, getattr(stage.data.options, "root", None)], sort_keys=True)
        if label not in fingerprints:
            fingerprints[label] = _fingerprint(component.dataset, stage.data.options, store, prepare)
        if fingerprints[label] is None:
            return None
        data["fingerprint"] = fingerprints[label]
    trainer = as_plain(stage.trainer, keep_runtime=False)
    if stage.verb != "fit":
        trainer = {"precision": trainer["precision"]}
    seed = stage.seed if stage.seed is not None else experiment.seed
    # An axis that is pinned to the seed itself changes nothing, so it has to change no key.
    pinned = {axis: value for axis, value in as_plain(experiment.seeds).items() if value not in (None, seed)}
    return {
        "format": FORMAT,
        "verb": stage.verb,
        "module": _component("module", stage.module),
        "data": data,
        "split": None if stage.verb == "fit" else stage.split,
        "trainer": trainer,
        "seed": seed,
        **({"seeds": pinned} if pinned else {}),
    }


def _component(kind: registry.Kind, choice: ComponentChoice) -> dict[str, Any]:
    options = as_plain(choice.options, keep_runtime=False)
    version = registry.get(kind, choice.name).version
    files = [sha256(path) for path in named_files(choice.options)]
    return {"name": choice.name, "version": version, "options": options, **({"files": files} if files else {})}


def _fingerprint(path: str, options: Any, store: Store, prepare: bool) -> str | None:
    dataset = registry.load(path)
    try:
        if options.stand_in and not prepare and not stand_in_folder(dataset, options, store.cache).exists():
            return None
        options = prepared(dataset, options, store.cache)
        dataset.locate(options)
        return str(dataset(options, store.cache).fingerprint())
    except DataError:
        if prepare:
            raise
        return None
