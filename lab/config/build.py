"""From the merged tree to typed objects. Every problem is collected; none stops the search for the next."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lab import registry
from lab.config.fields import Checked, as_plain
from lab.config.hints import (
    accepts_none,
    convert,
    element_class,
    expected,
    field_hints,
    finite,
    nested_class,
)
from lab.config.reader import DEFAULT, Node, Origin, children, describe, from_plain, join, leaves, to_plain
from lab.config.schema import ComponentChoice
from lab.errors import ConfigError, Problem, UnknownName, did_you_mean

MISSING = object()
"""Stands for an object that could not be made; a problem says why."""

UNFOLLOWED = "Interpolation key"
"""How OmegaConf begins when the key that an interpolation names is not there."""

UNRESOLVED = "???"
"""OmegaConf's mark of a value that has to be given."""


class Builder:
    """Fills in defaults, resolves interpolations and builds typed objects."""

    def __init__(self) -> None:
        self._found: dict[Problem, Origin] = {}  # what several stages inherit is wrong once
        self._unknown: set[str] = set()  # keys of blocks whose name is unknown: what else is said of them is moot

    @property
    def problems(self) -> list[Problem]:
        """What was found wrong so far, by file and line, the command line last."""
        places = {problem: (o.file is None, str(o.file), o.line or 0) for problem, o in self._found.items()}
        return sorted((problem for problem in places if not self._moot(problem)), key=places.__getitem__)

    def _moot(self, problem: Problem) -> bool:
        """Whether a problem only follows from a name that is unknown, of which there is a line of its own."""
        follows = (f"{UNFOLLOWED} '{key}." in problem.message for key in self._unknown)
        inside = (problem.key.startswith(f"{key}.") and problem.key != f"{key}.name" for key in self._unknown)
        lost = bool(self._unknown) and problem.message.endswith(f"got '{UNRESOLVED}'")
        return lost or any(follows) or any(inside)

    def unknown(self, node: Node, message: str) -> None:
        """Complain of a block that nothing is known about, and of nothing that follows from it."""
        self._unknown.add(node.key.removesuffix(".name"))
        self.complain(node, message)

    def complain(self, node: Node, message: str) -> None:
        self._found[Problem(str(node.origin), node.key, message)] = node.origin

    def interpolate(self, root: Node, wanted: Callable[[tuple[str, ...]], bool] = lambda _: True) -> None:
        """Replace the `${…}` at the wanted paths by what they refer to."""
        found = [(path, leaf) for path, leaf in leaves(root) if "${" in str(leaf.value) and wanted(path)]
        if not found:
            return
        from omegaconf import OmegaConf  # late: a third of the time that `lab list` takes

        for _, leaf in found:
            self._resolve(leaf, OmegaConf.create, [leaf.value])  # bad syntax in one would hide the whole tree
        config = OmegaConf.create(to_plain(root), flags={"allow_objects": True})
        for path, leaf in found:
            if leaf.value != UNRESOLVED:
                leaf.value = from_plain(self._resolve(leaf, _at, config, path), leaf.origin, leaf.key).value

    def _resolve(self, leaf: Node, function: Callable[..., Any], *args: Any) -> Any:
        """`function(*args)`; if OmegaConf refuses, a problem of the leaf, which is then UNRESOLVED."""
        from omegaconf.errors import OmegaConfBaseException

        try:
            return function(*args)
        except OmegaConfBaseException as error:
            reason = str(error).splitlines()[0].rpartition("resolving interpolation: ")[2].strip('"')
            self.complain(leaf, f"can't resolve '{leaf.value}': {reason}")
            leaf.value = UNRESOLVED
            return UNRESOLVED

    def complete(self, node: Node, cls: type[Any]) -> None:
        """Add the defaults of a dataclass, and of those below it, to its mapping."""
        if not isinstance(node.value, dict):
            return
        for field, hint in field_hints(cls):
            child = node.value.get(field.name)
            nested, element = nested_class(hint), element_class(hint)
            if child is None:
                default = _default(field)
                if default is not MISSING:
                    node.value[field.name] = from_plain(as_plain(default), Origin(DEFAULT), join(node.key, field.name))
            elif nested is not None:
                options = self._component(field.name, child) if nested is ComponentChoice else nested
                if options is not None:
                    self.complete(child, options)
            elif element is not None:
                for _, item in children(child):
                    self.complete(item, element)

    def build(self, node: Node, cls: type[Any], also: Sequence[str] = ()) -> Any:
        """The dataclass that a completed mapping describes, or MISSING.

        also: keys that the mapping may have besides the fields.
        """
        if not isinstance(node.value, dict):
            self._misfit(node, "expected a mapping")
            return MISSING
        known = [*also, *(field.name for field, _ in field_hints(cls))]
        sound = True
        for key, child in node.value.items():
            if key not in known:
                self.complain(child, f"unknown key{did_you_mean(key, known)}")
                sound = False
        values = {}
        for field, hint in field_hints(cls):
            if field.name in node.value:
                values[field.name] = self._value(field, hint, node.value[field.name])
            else:
                self.complain(_below(node, field.name), "has to be given")
                sound = False
        if not sound or any(value is MISSING for value in values.values()):
            return MISSING
        return self._checked(node, cls(**values))

    def _value(self, field: dataclasses.Field[Any], hint: Any, node: Node) -> Any:
        nested, element = nested_class(hint), element_class(hint)
        if node.value is None and accepts_none(hint):
            return None
        if nested is ComponentChoice:
            return self._choice(field.name, node)
        if nested is not None:
            return self.build(node, nested)
        if element is not None:
            return self._collection(hint, element, node)
        if node.value == UNRESOLVED:
            if not any(problem.key == node.key for problem in self._found):
                self.complain(node, "has to be given")
            return MISSING
        value = to_plain(node)
        try:
            made = convert(hint, value)
        except ValueError as error:
            self._misfit(node, str(error))
            return MISSING
        if not finite(made) and finite(field.default):
            self._misfit(node, f"{expected(hint)} that is finite")
            return MISSING
        return made

    def _misfit(self, node: Node, wanted: str) -> None:
        self.complain(node, f"{wanted}, got {describe(to_plain(node))}")

    def _collection(self, hint: Any, element: type[Any], node: Node) -> Any:
        items = [(key, self.build(child, element)) for key, child in children(node)]
        if not isinstance(node.value, hint.__origin__):
            self._misfit(node, expected(hint))
            return MISSING
        if any(item is MISSING for _, item in items):
            return MISSING
        return dict(items) if isinstance(node.value, dict) else [item for _, item in items]

    def _choice(self, kind: str, node: Node) -> Any:
        options = self._component(kind, node)
        if options is None:
            return MISSING
        made = self.build(node, options, also=["name"])
        assert isinstance(node.value, dict)
        return MISSING if made is MISSING else ComponentChoice(str(node.value["name"].value), made)

    def _component(self, kind: str, node: Node) -> type[Any] | None:
        """The options of the component that a mapping names."""
        if not isinstance(node.value, dict):
            self._misfit(node, f"expected a mapping with the name of a {kind} component and its options")
            return None
        name = node.value.get("name")
        if name is None or not isinstance(name.value, str):
            self.complain(_below(node, "name"), f"has to be given: the name of a {kind} component")
        elif name.value != UNRESOLVED:
            try:
                return registry.get(kind, name.value).config_class()  # type: ignore[arg-type]
            except UnknownName as error:
                self.unknown(name, str(error))
        return None

    def _checked(self, node: Node, made: Any) -> Any:
        """The object, unless one of its own rules is broken."""
        broken = list(made.check()) if isinstance(made, Checked) else []
        for dotted, message in broken:
            self.complain(_below(node, dotted), message)
        return MISSING if broken else made


def build_options(kind: registry.Kind, name: str, options: Mapping[str, Any]) -> Any:
    """A component's configuration dataclass from plain values, as an artefact's manifest keeps them.

    Raises:
        ConfigError: they don't fit the dataclass (another version wrote them).
        UnknownName: nothing is registered under that name.
    """
    builder, cls = Builder(), registry.get(kind, name).config_class()
    root = from_plain(dict(options), Origin(f"stored options of '{name}'"))
    builder.complete(root, cls)
    made = builder.build(root, cls)
    if builder.problems:
        raise ConfigError(builder.problems)
    return made


def _at(config: Any, path: Sequence[str]) -> Any:
    from omegaconf import OmegaConf

    for name in path:
        config = config[int(name) if OmegaConf.is_list(config) else name]
    return OmegaConf.to_container(config) if OmegaConf.is_config(config) else config


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else MISSING


def _below(node: Node, dotted: str) -> Node:
    """Where to point for a field: itself when somebody wrote it, else the nearest mapping above that was written."""
    origin, key = node.origin, node.key
    for name in dotted.split("."):
        child = dict(children(node)).get(name)
        node = child if child is not None else Node(None, origin, join(key, name))
        key = node.key
        if node.origin.layer != DEFAULT:
            origin = node.origin
    return Node(None, origin, key)
