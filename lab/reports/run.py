"""A run folder, read-only: what was asked for, what ran, and where its outputs are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from lab.errors import UserError
from lab.reports.results import kind, spelt
from lab.stages.artefact import Artefact


@dataclass(frozen=True)
class Stage:
    """One stage of a run: its resolved configuration, and its entry in `run.json`, empty while it has not finished."""

    name: str
    config: Mapping[str, Any]
    entry: Mapping[str, Any]
    artefact: Artefact | None

    @property
    def verb(self) -> str:
        return str(self.config["verb"])

    @property
    def title(self) -> str:
        return str(self.config.get("title") or spelt(self.name))

    @property
    def metrics(self) -> dict[str, float]:
        return self.artefact.metrics if self.artefact else {}


class Run:
    """A run folder.

    Files: `config.yaml` (resolved), `run.json`, `environment.json`, `origins.json`, and one artefact folder a finished
    stage, named in `run.json`.

    Raises:
        UserError: the folder has no run record.
    """

    def __init__(self, path: Path):
        self.path = path
        for name in ("config.yaml", "run.json"):
            if not (path / name).is_file():
                raise UserError(f"{path} is not a run: it has no {name}")

    @cached_property
    def config(self) -> dict[str, Any]:
        # lab writes what every YAML reader understands; libyaml reads it ten times faster.
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        return yaml.load((self.path / "config.yaml").read_text(encoding="utf-8"), Loader=loader)  # type: ignore[no-any-return]

    @cached_property
    def record(self) -> dict[str, Any]:
        return self._json("run.json")

    @cached_property
    def environment(self) -> dict[str, Any]:
        return self._json("environment.json")

    @cached_property
    def origins(self) -> dict[str, str]:
        return self._json("origins.json")

    @cached_property
    def stages(self) -> dict[str, Stage]:
        """As the experiment orders them, finished or not."""
        return {name: self._stage(name, config) for name, config in self.config["stages"].items()}

    @property
    def name(self) -> str:
        return str(self.config["name"])

    @property
    def seed(self) -> int:
        return int(self.record["seed"])

    @property
    def kind(self) -> str:
        """`embedded`, `real`, `paper-scale`, or `stand-in` when a generated miniature took the place of the data."""
        return kind(self.config)

    def _stage(self, name: str, config: Mapping[str, Any]) -> Stage:
        entry = self.record.get("stages", {}).get(name, {})
        folder = self.path / entry["artefact"] if entry.get("artefact") else None
        artefact = Artefact(folder) if folder is not None and folder.is_dir() else None
        return Stage(name, config, entry, artefact)

    def _json(self, name: str) -> dict[str, Any]:
        path = self.path / name
        return json.loads(path.read_text()) if path.exists() else {}
