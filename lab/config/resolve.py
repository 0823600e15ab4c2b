"""One call from a name on the command line to a typed experiment that knows where each of its values comes from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import lab
from lab import registry
from lab.config.build import MISSING, Builder
from lab.config.inherit import decides_structure, inherit
from lab.config.layers import flatten, load, override_layer, profile_layers
from lab.config.reader import DEFAULT, Node, Origin, children, dump, shown
from lab.config.schema import ComponentChoice, Experiment
from lab.config.stages import check_stages, drop_disabled
from lab.errors import ConfigError, UserError, did_you_mean


@dataclass(frozen=True)
class Resolved:
    """An experiment after all layers.

    origins: dotted key -> origin of each value in `plain()`; a list of scalars is one value.
    source: the experiment file.
    """

    experiment: Experiment
    origins: dict[str, Origin]
    source: Path
    profiles: tuple[str, ...]

    def plain(self) -> dict[str, Any]:
        """Complete, JSON-able, components flat; as YAML it resolves to the same experiment again."""
        return plain(self.experiment)  # type: ignore[no-any-return]

    def to_yaml(self, origins: bool = False) -> str:
        """`plain()` as YAML; with `origins` each value is followed by a comment that says where it comes from."""
        return dump(self.plain(), (lambda key: str(self.origins[key])) if origins else None)


def resolve(config: str | Path, *, profiles: Sequence[str] = (), overrides: Sequence[str] = ()) -> Resolved:
    """Schema defaults < bases < experiment < profiles < overrides; then interpolations, then types and rules.

    Args:
        config: a path, or the name of an experiment (see `experiments`).
        profiles: names, later ones over earlier.
        overrides: `dotted.key=value`, the value written as YAML.

    Raises:
        ConfigError: with every problem that was found.
    """
    source = find_experiment(config)
    root = _tree(source, profiles, overrides)
    builder = Builder()
    builder.interpolate(root, decides_structure)
    inherit(builder, root)
    builder.complete(root, Experiment)
    builder.interpolate(root)
    check_stages(builder, root)
    experiment = builder.build(root, Experiment)
    if builder.problems:
        raise ConfigError(builder.problems)
    assert experiment is not MISSING
    drop_disabled(experiment)
    if not experiment.stages:
        raise UserError(f"{shown(source)}: every stage is off (`enabled: false`)")
    return Resolved(experiment, dict(_origins(plain(experiment), root)), source, tuple(profiles))


@dataclass(frozen=True)
class Outline:
    """What `lab list` says of an experiment: a few fields of `Experiment`."""

    name: str
    kind: str
    description: str
    data: ComponentChoice


def outline(config: str | Path) -> Outline:
    """The outline of an experiment, whose stages are not looked at: a list of many has to be quick.

    Raises:
        ConfigError: these fields, or the YAML, are wrong.
    """
    root = _tree(find_experiment(config), (), ())
    assert isinstance(root.value, dict)
    wanted = [field.name for field in fields(Outline)]
    root.value.setdefault("seed", Node(Experiment.seed, Origin(DEFAULT), "seed"))
    builder = Builder()
    builder.interpolate(root, lambda path: path[0] in wanted)
    root.value = {name: root.value[name] for name in wanted if name in root.value}
    root.value.setdefault("kind", Node(Experiment.kind, Origin(DEFAULT), "kind"))
    root.value.setdefault("description", Node(Experiment.description, Origin(DEFAULT), "description"))
    builder.complete(root, Outline)
    made = builder.build(root, Outline)
    if made is MISSING:
        raise ConfigError(builder.problems)
    return made  # type: ignore[no-any-return]


def _tree(source: Path, profiles: Sequence[str], overrides: Sequence[str]) -> Node:
    stack = load(source)
    layers = list(stack.layers)
    for name in profiles:
        layers += profile_layers(name, source, stack)
    return flatten([*layers, override_layer(overrides)])


def _origins(value: Any, node: Node, key: str = "") -> Iterator[tuple[str, Origin]]:
    below = dict(children(node))
    if isinstance(value, dict) and value:
        for name, item in value.items():
            yield from _origins(item, below[name], f"{key}.{name}" if key else name)
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for index, item in enumerate(value):
            yield from _origins(item, below[str(index)], f"{key}.{index}")
    else:
        yield key, node.origin


def plain(value: Any) -> Any:
    """A configuration as what YAML would say for it."""
    if isinstance(value, ComponentChoice):
        return {"name": value.name, **(plain(value.options) or {})}
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (str, Path)):
        return str(value).replace("${", "\\${")
    return value


def experiments() -> dict[str, Path]:
    """Name -> file: of `experiments/` in the working folder, of lab's own, and of each plugin's; the first wins."""
    folders = [Path("experiments"), own_experiments()]
    folders += [plugin.experiments for plugin in registry.plugins() if plugin.experiments is not None]
    found: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(folder.glob("*.yaml")):
            found.setdefault(path.stem, path)
    return found


def own_experiments() -> Path:
    """The folder of the experiments that come with lab: beside it in a checkout, inside it where it is installed."""
    packaged = Path(lab.__file__).parent / "experiments"
    return packaged if packaged.is_dir() else packaged.parents[1] / "experiments"


def find_experiment(name: str | Path) -> Path:
    """The file of a path or a name.

    Raises:
        UserError: there is none; with the nearest ones.
    """
    path = Path(name)
    if path.is_file():
        return path
    if path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
        near = did_you_mean(path.name, [p.name for p in path.parent.glob("*.y*ml")])
        raise UserError(f"no experiment file {path}{near}")
    known = experiments()
    if str(name) not in known:
        raise UserError(f"no experiment '{name}'{did_you_mean(str(name), list(known))}")
    return known[str(name)]
