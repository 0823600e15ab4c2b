"""A finished stage output, read-only: a folder with a manifest that says how it was made."""

from __future__ import annotations

import json
import math
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.data.base import Facts

if TYPE_CHECKING:
    from torch import Tensor

MANIFEST = "artefact.json"
WEIGHTS = "weights.safetensors"
TABLE = "table.safetensors"
METRICS = "metrics.json"
CURVES = "curves.csv"


class Artefact:
    """One folder of the store.

    Files, each present when the stage makes it: `weights.safetensors` (state dict of the module), `table.safetensors`
    (columns with one row a sample, ordered by index) and `names.json` (their names), `metrics.json`, `curves.csv`
    (step, name, value), `pictures/*.png`.
    """

    def __init__(self, path: Path):
        self.path = path

    @cached_property
    def manifest(self) -> dict[str, Any]:
        return json.loads((self.path / MANIFEST).read_text())  # type: ignore[no-any-return]

    @property
    def key(self) -> str:
        return str(self.manifest["key"])

    @cached_property
    def metrics(self) -> dict[str, float]:
        """By name; NaN where the stage found none or an infinite one, which JSON can't hold."""
        path = self.path / METRICS
        found = json.loads(path.read_text()) if path.exists() else {}
        return {name: math.nan if value is None else value for name, value in found.items()}

    def facts(self) -> Facts:
        """What the stage knew of its data."""
        return Facts.from_plain(self.manifest["facts"])

    def table(self) -> dict[str, Tensor]:
        """Columns by name, on the CPU: a private memory map of the file, of which what is read takes memory."""
        from safetensors.torch import load_file

        return load_file(self.path / TABLE)

    def names(self) -> list[str]:
        """Names of the table's rows."""
        path = self.path / "names.json"
        return json.loads(path.read_text()) if path.exists() else []

    def weights(self) -> dict[str, Tensor]:
        """State dict of the module that was fitted, on the CPU."""
        from safetensors.torch import load_file

        return load_file(self.path / WEIGHTS)

    def pictures(self) -> list[Path]:
        return sorted((self.path / "pictures").glob("*.png"))
