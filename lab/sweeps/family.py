"""Many experiments of one file that differ in a few keys, each resolved for a fraction of what one costs.

A configuration is data: a key given on the command line ends up, through inheritance and interpolation, in some leaves
of the resolved experiment, and nowhere else. So each value of each key is resolved once, the leaves that it changes are
noted, and a member of the family is a copy of the first with those leaves set. Where that reasoning does not hold (keys
that change which leaves there are, or whose leaves overlap), members are resolved one by one.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from lab.config import resolve
from lab.config.fields import Checked
from lab.config.reader import read_value
from lab.config.resolve import Resolved
from lab.config.schema import Experiment
from lab.sweeps.axes import PROFILE

Keys = tuple[str | int, ...]
Changes = dict[Keys, Any]


class Family:
    """The experiments that a file, profiles, overrides and settings describe.

    A setting maps dotted keys to values as YAML text, as they stand in `key=value`; `seed` is one of the keys. All
    settings of a family have the same keys; `first` is one of them.

    Raises:
        ConfigError: the first one is wrong.
    """

    def __init__(self, config: str | Path, profiles: Sequence[str], overrides: Sequence[str], first: Mapping[str, str]):
        self.config, self.profiles, self.overrides = config, tuple(profiles), tuple(overrides)
        self.first = dict(first)
        base = self.resolve(first).experiment
        self._base = dict(_leaves(base))
        self._pickled = pickle.dumps(base, protocol=pickle.HIGHEST_PROTOCOL)
        self._changes: dict[tuple[str, str], Changes | None] = {}
        self._touched: dict[Keys, str] = {}
        self._plain = False
        """Whether members have to be resolved one by one."""

    def resolve(self, setting: Mapping[str, str]) -> Resolved:
        """A member with the origins of its values, at full price.

        Raises:
            ConfigError: with every problem that was found.
        """
        profiles = [*self.profiles, *(value for key, value in setting.items() if key == PROFILE and value != "none")]
        overrides = [f"{key}={value}" for key, value in setting.items() if key != PROFILE]
        return resolve(self.config, profiles=profiles, overrides=[*self.overrides, *overrides])

    def members(self, settings: Sequence[Mapping[str, str]]) -> Iterator[Experiment]:
        """The experiments of some settings, in order. The last one is compared with what resolving it gives.

        Raises:
            ConfigError: one of them is wrong; with every problem that was found in it.
        """
        if settings and not self._plain:
            last = self.resolve(settings[-1]).experiment
            # A path that holds one interpolation inside another could make keys depend on each other unseen.
            self._plain = self._member(settings[-1]) != last
        for setting in settings:
            yield self._member(setting)

    def _member(self, setting: Mapping[str, str]) -> Experiment:
        found: Changes = {}
        for key, value in setting.items():
            changes = None if self._plain else self._changes_of(key, value)
            if changes is None:
                return self.resolve(setting).experiment
            found.update(changes)
        made: Experiment = pickle.loads(self._pickled)
        for path, leaf in found.items():
            _set(made, path, leaf)
        if any(broken for path in found for broken in _broken(made, path)):
            return self.resolve(setting).experiment  # says it with file and line
        return made

    def _changes_of(self, key: str, value: str) -> Changes | None:
        """The leaves that `key=value` changes; None when it changes more than leaves, or leaves of another key."""
        if value == self.first[key]:
            return {}
        if (key, value) not in self._changes:
            self._changes[key, value] = self._like_others(key, value) or self._probe(key, value)
        return self._changes[key, value]

    def _probe(self, key: str, value: str) -> Changes | None:
        leaves = dict(_leaves(self.resolve({**self.first, key: value}).experiment))
        if leaves.keys() != self._base.keys():
            return None
        changes = {path: leaf for path, leaf in leaves.items() if not _same(leaf, self._base[path])}
        if any(self._touched.setdefault(path, key) != key for path in changes):
            return None
        return changes

    def _like_others(self, key: str, value: str) -> Changes | None:
        """The leaves that a number changes, when two others were seen to be copied into the same leaves as they are."""
        number, first = _number(value), _number(self.first[key])
        if number is None or first is None:
            return None
        known = [(other, changes) for (name, other), changes in self._changes.items() if name == key and changes]
        for other, changes in known:
            probed = _number(other)
            if probed is None or type(probed) is not type(number):
                continue
            if all(leaf == probed and self._base[path] == first for path, leaf in changes.items()):
                return {path: type(leaf)(number) for path, leaf in changes.items()}
        return None


def _leaves(value: Any, path: Keys = ()) -> Iterator[tuple[Keys, Any]]:
    """Scalars and empty containers of a dataclass tree, each with the attributes, keys and places that lead there."""
    if is_dataclass(value):
        for field in fields(value):
            yield from _leaves(getattr(value, field.name), (*path, field.name))
    elif isinstance(value, dict) and value:
        for key, below in value.items():
            yield from _leaves(below, (*path, key))
    elif isinstance(value, list) and value:
        for place, below in enumerate(value):
            yield from _leaves(below, (*path, place))
    else:
        # The class belongs to the path of what is empty or absent, as filling it would add leaves.
        yield path, value


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and (one == other or (one != one and other != other))


def _number(text: str) -> int | float | None:
    value = read_value(text, "").value
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _at(value: Any, name: str | int) -> Any:
    return getattr(value, str(name)) if is_dataclass(value) else value[name]


def _set(root: Any, path: Keys, leaf: Any) -> None:
    for name in path[:-1]:
        root = _at(root, name)
    if is_dataclass(root):
        setattr(root, str(path[-1]), leaf)
    else:
        root[path[-1]] = leaf


def _broken(root: Any, path: Keys) -> Iterator[tuple[str, str]]:
    """What the rules of the objects on the way to a leaf complain of."""
    for name in path:
        if isinstance(root, Checked):
            yield from root.check()
        root = _at(root, name)
