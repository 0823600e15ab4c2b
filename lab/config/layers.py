"""Which layers an experiment has, and how one is laid over another.

Mappings merge key by key, everything else is replaced. Two places know more: a component that is given another name
loses the options of the one it replaces, and a trainer that is given `max_steps` loses `max_epochs`, and vice versa.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path

from lab.config.reader import COMMAND_LINE, FILE, Node, Origin, children, join, read_file, read_value, shown
from lab.errors import ConfigError, Problem, did_you_mean

KeyPath = tuple[str, ...]


@dataclass
class Stack:
    """Layers of one file, lowest first: its bases, then itself; and of each of its profiles."""

    layers: list[Node] = field(default_factory=list)
    profiles: dict[str, list[Node]] = field(default_factory=dict)

    def over(self, lower: Stack) -> Stack:
        names = {**lower.profiles, **self.profiles}
        profiles = {name: lower.profiles.get(name, []) + self.profiles.get(name, []) for name in names}
        return Stack(lower.layers + self.layers, profiles)


def load(path: Path, *, layer: str = FILE, below: tuple[Path, ...] = ()) -> Stack:
    """A file with its bases.

    below: the files whose `extends` led here.

    Raises:
        ConfigError: a file is missing or malformed, or extends itself.
    """
    tree = read_file(path, layer)
    assert isinstance(tree.value, dict)
    found = Stack()
    for base in _bases(tree.value.pop("extends", None)):
        target = path.parent / str(base.value)
        where = str(base.origin)
        if not target.is_file():
            near = did_you_mean(target.name, [p.name for p in sorted(target.parent.glob("*.yaml"))])
            raise ConfigError([Problem(where, "extends", f"no such file {shown(target)}{near}")])
        seen = (*below, path.resolve())
        if target.resolve() in seen:
            ring = " -> ".join(p.name for p in (*seen[seen.index(target.resolve()) :], target))
            raise ConfigError([Problem(where, "extends", f"the files extend each other: {ring}")])
        found = load(target, layer=layer, below=seen).over(found)
    profiles = _profiles(tree.value.pop("profiles", None)) if layer == FILE else {}
    return Stack([tree], profiles).over(found)


def _bases(node: Node | None) -> list[Node]:
    if node is None or node.value is None:
        return []
    items = node.value if isinstance(node.value, list) else [node]
    if not all(isinstance(item.value, str) for item in items):
        raise ConfigError([Problem(str(node.origin), "extends", "expected a file or a list of files")])
    return items


def _profiles(node: Node | None) -> dict[str, list[Node]]:
    if node is None or node.value is None:
        return {}
    for name, tree in [("", node), *children(node)]:
        if not isinstance(tree.value, dict):
            message = "expected a mapping of names to what they override"
            raise ConfigError([Problem(str(tree.origin), join("profiles", name) if name else "profiles", message)])
    return {name: [_as_profile(tree, f"profile {name}", len(tree.key) + 1)] for name, tree in children(node)}


def _as_profile(node: Node, layer: str, cut: int) -> Node:
    """The same tree as a layer of its own, its keys counted from the profile."""
    origin = Origin(layer, node.origin.file, node.origin.line)
    if isinstance(node.value, dict):
        return Node({k: _as_profile(v, layer, cut) for k, v in node.value.items()}, origin, node.key[cut:])
    if isinstance(node.value, list):
        return Node([_as_profile(item, layer, cut) for item in node.value], origin, node.key[cut:])
    return Node(node.value, origin, node.key[cut:])


def profile_layers(name: str, path: Path, stack: Stack) -> list[Node]:
    """Layers of a profile: `profiles/NAME.yaml` beside the experiment, then `profiles:` of the bases and the file.

    Raises:
        ConfigError: neither exists.
    """
    folder = path.parent / "profiles"
    file = folder / f"{name}.yaml"
    found = load(file, layer=f"profile {name}").layers if file.is_file() else []
    found = found + stack.profiles.get(name, [])
    if not found:
        known = sorted({*stack.profiles, *(p.stem for p in folder.glob("*.yaml"))})
        near = did_you_mean(name, known) if known else f"; {shown(path)} has no profiles"
        raise ConfigError([Problem(COMMAND_LINE, "--profile", f"unknown profile '{name}'{near}")])
    return found


def override_layer(overrides: Sequence[str]) -> Node:
    """All `key=value` of a command line as one layer; of a key given twice the last counts.

    Raises:
        ConfigError: with every one that is malformed.
    """
    origin = Origin(COMMAND_LINE)
    tree = Node({}, origin)
    problems: list[Problem] = []
    for item in overrides:
        key, equals, text = item.partition("=")
        names = key.split(".")
        if not equals or not all(names) or key != key.strip():
            problems.append(Problem(COMMAND_LINE, "", f"expected key=value, got '{item}'"))
            continue
        try:
            node = read_value(text, key)
        except ConfigError as error:
            problems += error.problems
            continue
        for depth in range(len(names) - 1, -1, -1):
            node = Node({names[depth]: node}, origin, ".".join(names[:depth]))
        # The path keeps the rules of components and trainers out: these are one layer, not one over the other.
        tree = merge(tree, node, (COMMAND_LINE,))
    if problems:
        raise ConfigError(problems)
    return tree


def flatten(layers: Sequence[Node]) -> Node:
    """One tree from layers, lowest first."""
    return reduce(merge, layers)


def merge(lower: Node, upper: Node, path: KeyPath = ()) -> Node:
    """`upper` over `lower`. A mapping keeps the origin of the layer that introduced it."""
    if not isinstance(lower.value, dict) or not isinstance(upper.value, dict):
        return upper
    merged = dict(lower.value)
    if is_component(path) and _differ(merged.get("name"), upper.value.get("name")):
        merged = {}
    if _is_trainer(path):
        for one, other in (("max_epochs", "max_steps"), ("max_steps", "max_epochs")):
            if one in upper.value and upper.value[one].value is not None:
                merged.pop(other, None)
    for key, node in upper.value.items():
        merged[key] = merge(merged[key], node, (*path, key)) if key in merged else node
    return Node(merged, lower.origin, lower.key)


def _differ(one: Node | None, other: Node | None) -> bool:
    return one is not None and other is not None and one.value != other.value


def is_component(path: KeyPath) -> bool:
    return path == ("data",) or (len(path) == 3 and path[0] == "stages" and path[2] in ("module", "data"))


def _is_trainer(path: KeyPath) -> bool:
    return path == ("trainer",) or (len(path) == 3 and path[0] == "stages" and path[2] == "trainer")
