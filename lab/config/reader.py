"""YAML -> plain values that know which line they were written on.

Read as YAML 1.2 means it: `yes`, `no`, `10:30` and `2024-01-01` are text, `1e-3` is a number, a key given twice is an
error. A configuration is data: tags, anchors and aliases are refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from lab.errors import ConfigError, Problem

Scalar: TypeAlias = str | int | float | bool | None

DEFAULT, FILE, COMMAND_LINE = "default", "file", "command line"


@dataclass(frozen=True)
class Origin:
    """Where a value comes from. `layer` is one of the constants above or `profile NAME`."""

    layer: str
    file: Path | None = None
    line: int | None = None

    def __str__(self) -> str:
        if self.file is None:
            return self.layer
        place = f"{shown(self.file)}:{self.line}"
        return place if self.layer == FILE else f"{self.layer} ({place})"


@dataclass(slots=True)
class Node:
    """A value, its origin, and its dotted key as it was written."""

    value: dict[str, Node] | list[Node] | Scalar
    origin: Origin
    key: str = ""


def shown(path: Path) -> Path:
    """The path as a message shows it: relative where it lies below the current folder."""
    absolute, here = path.absolute(), Path.cwd()
    return absolute.relative_to(here) if absolute.is_relative_to(here) else path


def join(key: str, name: str | int) -> str:
    return f"{key}.{name}" if key else str(name)


def from_plain(value: Any, origin: Origin, key: str = "") -> Node:
    """Plain containers as nodes that all have the same origin."""
    if isinstance(value, dict):
        return Node({str(k): from_plain(v, origin, join(key, k)) for k, v in value.items()}, origin, key)
    if isinstance(value, (list, tuple)):
        return Node([from_plain(v, origin, join(key, i)) for i, v in enumerate(value)], origin, key)
    return Node(value, origin, key)


def to_plain(node: Node) -> Any:
    """The plain containers and scalars of a node."""
    if isinstance(node.value, dict):
        return {key: to_plain(child) for key, child in node.value.items()}
    if isinstance(node.value, list):
        return [to_plain(child) for child in node.value]
    return node.value


def children(node: Node) -> Iterator[tuple[str, Node]]:
    """Keys or positions, and what is there; nothing for a scalar."""
    if isinstance(node.value, dict):
        yield from node.value.items()
    elif isinstance(node.value, list):
        yield from ((str(index), child) for index, child in enumerate(node.value))


def leaves(node: Node, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Node]]:
    """Scalars and empty containers, each with its path."""
    below = list(children(node))
    if not below:
        yield path, node
    for name, child in below:
        yield from leaves(child, (*path, name))


def read_file(path: Path, layer: str = FILE) -> Node:
    """The mapping in a YAML file; an empty file is an empty one.

    Raises:
        ConfigError: the file can't be read, isn't YAML, or isn't a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = "is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise ConfigError([Problem(str(shown(path)), "", f"can't be read: {reason}")]) from None
    return _copy(_mapping(text, path, layer))


@lru_cache(maxsize=256)
def _mapping(text: str, path: Path, layer: str) -> Node:
    """Parsed once a text: `lab list` meets the same bases again and again."""
    node = _read(text, lambda line: Origin(layer, path, line))
    if node.value is None:
        node.value = {}
    if not isinstance(node.value, dict):
        raise ConfigError([Problem(str(node.origin), "", f"expected keys and values, got {describe(to_plain(node))}")])
    return node


def _copy(node: Node) -> Node:
    if isinstance(node.value, dict):
        return Node({name: _copy(child) for name, child in node.value.items()}, node.origin, node.key)
    if isinstance(node.value, list):
        return Node([_copy(child) for child in node.value], node.origin, node.key)
    return Node(node.value, node.origin, node.key)


def read_value(text: str, key: str) -> Node:
    """The value of a command-line `key=value`.

    Raises:
        ConfigError: it isn't YAML.
    """
    return _read(text, lambda line: Origin(COMMAND_LINE), key)


def _read(text: str, origin_of: Callable[[int], Origin], key: str = "") -> Node:
    problems: list[Problem] = []
    top = key
    try:
        loader = _Loader(text)
        tree = loader.get_single_node()
        problems += [Problem(str(origin_of(_line(mark))), key, message) for mark, message in loader.refused]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ConfigError([Problem(str(origin_of(_line(mark))), key, _syntax(error, text, mark))]) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError([Problem(str(origin_of(line)), key, f"unreadable character: {error.reason}")]) from None

    def build(node: yaml.Node, origin: Origin, key: str) -> Node:
        if isinstance(node, yaml.MappingNode):
            value: dict[str, Node] = {}
            for name, child in node.value:
                place = origin_of(_line(name.start_mark))
                if not isinstance(name, yaml.ScalarNode):
                    problems.append(Problem(str(place), key, "a key has to be plain text"))
                elif name.value in value:
                    first = value[name.value].origin
                    also = f", first on line {first.line}" if first.line else ""
                    problems.append(Problem(str(place), join(key, name.value), f"given twice{also}"))
                else:
                    value[name.value] = build(child, place, join(key, name.value))
            return Node(value, origin, key)
        if isinstance(node, yaml.SequenceNode):
            items = [build(c, origin_of(_line(c.start_mark)), join(key, i)) for i, c in enumerate(node.value)]
            return Node(items, origin, key)
        return Node(_scalar(node), origin, key)

    built = build(tree, origin_of(1), top) if tree is not None else Node(None, origin_of(1), top)
    if problems:
        raise ConfigError(problems)
    return built


class _Loader(yaml.SafeLoader):
    """PyYAML's parser with the scalar rules of YAML 1.2, noting what a configuration may not hold."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  (filled below)

    def __init__(self, text: str):
        super().__init__(text)
        self.refused: list[tuple[Any, str]] = []  # mark, message

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            self.refused.append((event.start_mark, f"alias *{event.anchor}: use ${{…}} or `extends` instead"))
            self.get_event()  # type: ignore[no-untyped-call]
            return yaml.ScalarNode("tag:yaml.org,2002:null", "")
        if event.anchor is not None:
            self.refused.append((event.start_mark, f"anchor &{event.anchor}: use ${{…}} or `extends` instead"))
        if event.tag is not None:
            self.refused.append((event.start_mark, f"tag {event.tag}: a configuration is data, it holds no tags"))
        return super().compose_node(parent, index)


_NUMBERS = "-+.0123456789"
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list(_NUMBERS)),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list(_NUMBERS),
    ),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first)


def _scalar(node: yaml.Node) -> Scalar:
    text = str(node.value)
    match node.tag.rpartition(":")[2]:
        case "null":
            return None
        case "bool":
            return text.lower() == "true"
        case "int":
            return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
        case "float":
            return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        case _:
            return text


def _line(mark: Any) -> int:
    return int(mark.line) + 1 if mark is not None else 1


def _syntax(error: yaml.MarkedYAMLError, text: str, mark: Any) -> str:
    """PyYAML's complaint in one line, with the remedy for the two that people meet most."""
    if "\\t" in str(error.problem):
        return "a tab can't indent or separate; use spaces"
    lines = text.splitlines()
    if mark is not None and mark.line < len(lines) and "${" in lines[mark.line]:
        return f'{error.problem}; inside [ ] and {{ }} write an interpolation in quotes: "${{…}}"'
    return str(error.problem or error.context)


def describe(value: Any) -> str:
    """A value as a message shows it: as YAML would write it, cut when long."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict):
        return "a mapping"
    text = "[" + ", ".join(map(describe, value)) + "]" if isinstance(value, (list, tuple)) else repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


class _Dumper(yaml.SafeDumper):
    """Writes what `_Loader` reads back unchanged, and what other YAML readers would not misread."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.yaml_implicit_resolvers = {
    first: [*yaml.SafeDumper.yaml_implicit_resolvers.get(first, ()), *_Loader.yaml_implicit_resolvers.get(first, ())]
    for first in {*yaml.SafeDumper.yaml_implicit_resolvers, *_Loader.yaml_implicit_resolvers}
}
_Dumper.add_representer(  # a text of several lines on one line
    str,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if "\n" in text else None),
)


def dump(plain: dict[str, Any], comments: Callable[[str], str] | None = None) -> str:
    """YAML text, one leaf a line; `comments` gives the comment behind a leaf from its dotted key."""
    lines = list(_lines(plain, "", ""))
    if comments is None:
        return "".join(f"{text}\n" for text, _ in lines)
    width = min(60, max((len(text) for text, _ in lines), default=0))
    return "".join(f"{text:{width}}  # {comments(key)}\n" if key else f"{text}\n" for text, key in lines)


def _lines(value: dict[str, Any], indent: str, above: str) -> Iterator[tuple[str, str]]:
    """Lines in block style, each with the dotted key of the leaf on it."""
    for name, child in value.items():
        head, key = f"{indent}{_flow(name)}:", join(above, name)
        if isinstance(child, dict) and child:
            yield head, ""
            yield from _lines(child, f"{indent}  ", key)
        elif isinstance(child, list) and any(isinstance(item, dict) for item in child):
            yield head, ""
            for index, item in enumerate(child):
                bullet = f"{indent}- "
                for text, leaf in _lines(item, f"{indent}  ", join(key, index)):
                    yield bullet + text[len(bullet) :], leaf
                    bullet = f"{indent}  "
        else:
            yield f"{head} {_flow(child)}", key


def _flow(value: Any) -> str:
    text: str = yaml.dump(value, Dumper=_Dumper, default_flow_style=True, allow_unicode=True, width=10**6)
    return text.removesuffix("\n").removesuffix("\n...")
