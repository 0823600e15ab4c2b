"""What a stage takes from elsewhere: the experiment, the stage that it is `like`, and that of its `weights`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import deepcopy

from lab import registry
from lab.config.build import UNRESOLVED, Builder
from lab.config.hints import field_hints
from lab.config.layers import KeyPath, is_component, merge
from lab.config.reader import DEFAULT, Node, Origin, children, describe, leaves, to_plain
from lab.config.schema import Experiment
from lab.errors import UnknownName, did_you_mean

Stage = dict[str, Node]

_SPLITS = {"validate": "val", "test": "test", "predict": "train"}
_BLOCK = re.compile(r"\$\{([^${}:]+)\}")


def decides_structure(path: KeyPath) -> bool:
    """Whether `inherit` has to know the value at this path: its interpolation can't wait for the defaults."""
    return (len(path) >= 2 and path[-1] == "name" and is_component(path[:-1])) or (
        len(path) == 3 and path[0] == "stages" and path[2] in ("verb", "weights", "like")
    )


def inherit(builder: Builder, root: Node) -> None:
    """Complete each stage: from the stage it is `like`, from the experiment, and with the module of its weights.

    `like` is then gone: what it stood for is written out. Stages set to null are removed and noted in `left_out`. What
    is malformed is left for the typing to complain of.
    """
    assert isinstance(root.value, dict)
    root.value.setdefault("seed", Node(Experiment.seed, Origin(DEFAULT), "seed"))
    declared = root.value.get("stages")
    if declared is None or not isinstance(declared.value, dict):
        return
    removed = [Node(name, stage.origin, "left_out") for name, stage in declared.value.items() if stage.value is None]
    if removed:
        known = root.value.get("left_out")
        listed = known.value if known is not None and isinstance(known.value, list) else []
        root.value["left_out"] = Node([*listed, *removed], Origin(DEFAULT), "left_out")
    declared.value = {name: stage for name, stage in declared.value.items() if stage.value is not None}
    stages = _Stages(builder, root, declared.value)
    for name in stages.tree:
        stages.settle(name)
    stages.expand(root)


class _Stages:
    """The stages of an experiment, each settled after those that it takes from."""

    def __init__(self, builder: Builder, root: Node, nodes: Mapping[str, Node]):
        self.builder, self.root, self.nodes = builder, root, nodes
        self.tree: dict[str, Stage] = {name: node.value for name, node in nodes.items() if isinstance(node.value, dict)}
        self._settled: set[str] = set()
        self._under_way: list[str] = []

    def settle(self, name: str) -> None:
        """Give a stage all that it takes from elsewhere, once."""
        if name in self._settled or name in self._under_way:
            return
        self._under_way.append(name)
        assert isinstance(self.root.value, dict)
        stage = self.tree[name]
        for key in ("like", "module", "data", "trainer", "seed", "split"):
            if key in stage and stage[key].value is None:
                del stage[key]
        self.expand(self.nodes[name])
        like = stage.pop("like", None)
        if like is not None:
            self._take(name, stage, like)
        _lay_over(stage, "data", self.root.value.get("data"), name)
        _lay_over(stage, "trainer", self.root.value.get("trainer"), name)
        stage.setdefault("trainer", Node({}, self.nodes[name].origin, f"stages.{name}.trainer"))
        stage.setdefault("seed", self.root.value["seed"])
        if "split" not in stage and (split := _SPLITS.get(_text(stage, "verb"))):
            stage["split"] = Node(split, Origin(DEFAULT), f"stages.{name}.split")
        source = _text(stage, "weights")
        if source in self.tree and _evaluates_weights(stage):
            self.settle(source)
            _lay_over(stage, "module", self.tree[source].get("module"), name)
        self._under_way.pop()
        self._settled.add(name)

    def expand(self, node: Node) -> None:
        """Replace `${stages.erm.module}` below a node, an interpolation that stands for a mapping, by a copy of it."""
        for _, leaf in list(leaves(node)):
            found = _BLOCK.fullmatch(leaf.value) if isinstance(leaf.value, str) else None
            if found is None:
                continue
            path = found[1].split(".")
            target = self._at(path)
            whole = target is None or isinstance(target.value, dict)
            if whole and path[0] == "stages" and len(path) > 2 and path[1] in self.tree:
                self.settle(path[1])
                target = self._at(path)
            if target is not None and isinstance(target.value, dict):
                leaf.value = deepcopy(target).value

    def _at(self, path: list[str]) -> Node | None:
        target: Node | None = self.root
        for name in path:
            target = dict(children(target)).get(name) if target is not None else None
        return target

    def _take(self, name: str, stage: Stage, like: Node) -> None:
        """Put a stage over the trainer, the data and the module of the one that it is like."""
        source = like.value
        if source in self._under_way:
            ring = [*self._under_way[self._under_way.index(source) :], source]
            return self._lose(stage, like, f"stages take from each other: {' -> '.join(ring)}")
        if not isinstance(source, str):
            return self._lose(stage, like, f"expected the name of a stage, got {describe(to_plain(like))}")
        if source == UNRESOLVED:
            return None
        if source not in self.tree:
            others = [other for other in self.tree if other != name]
            return self._lose(stage, like, f"unknown stage '{source}'{did_you_mean(source, others)}")
        self.settle(source)
        taken = deepcopy(self.tree[source])
        for key in ("data", "trainer"):
            _lay_over(stage, key, taken.get(key), name)
        if not _evaluates_weights(stage):
            _lay_over(stage, "module", _shared_options(taken.get("module"), stage.get("module")), name)

    def _lose(self, stage: Stage, like: Node, message: str) -> None:
        """Complain, and mark as unresolved what the stage would have taken, so that nothing else is said of it."""
        self.builder.unknown(like, message)
        for key in ("module", "data", "trainer"):
            given = stage.setdefault(key, Node(UNRESOLVED, like.origin, like.key))
            if key != "trainer" and isinstance(given.value, dict):
                given.value.setdefault("name", Node(UNRESOLVED, like.origin, like.key))


def _evaluates_weights(stage: Stage) -> bool:
    """Whether a stage has to have the module of its weights."""
    return "weights" in stage and _text(stage, "verb") != "fit"


def _shared_options(theirs: Node | None, own: Node | None) -> Node | None:
    """A module without the options that another component doesn't have, and under that one's name."""
    if theirs is None or own is None or not isinstance(theirs.value, dict) or not isinstance(own.value, dict):
        return theirs
    name = own.value.get("name")
    if name is None:
        return theirs
    known = _options(name) & _options(theirs.value.get("name"))
    shared = {key: node for key, node in theirs.value.items() if key in known}
    return Node({"name": name, **shared}, theirs.origin, theirs.key)


def _options(name: Node | None) -> set[str]:
    """The options of a module; none where its name is unknown, of which there will be a line."""
    try:
        return {field.name for field, _ in field_hints(registry.get("module", str(name and name.value)).config_class())}
    except UnknownName:
        return set()


def _text(stage: Stage, key: str) -> str:
    return str(stage[key].value) if key in stage else ""


def _lay_over(stage: Stage, key: str, lower: Node | None, name: str) -> None:
    """Put `stage[key]` over `lower`, where it is a mapping; the origin is the stage's own."""
    own = stage.get(key)
    if lower is None or lower.value is None:
        return
    if own is None:
        stage[key] = lower
    else:
        merged = merge(lower, own, ("stages", name, key))
        stage[key] = Node(merged.value, own.origin, own.key)
