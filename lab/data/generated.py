"""Options of the data modules around generated images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lab.config.fields import option


@dataclass
class GeneratedImagesConfig:
    val_fraction: float = option(0.1, "share of the generated images held out as validation split")

    def check(self) -> Iterator[tuple[str, str]]:
        if not 0 <= self.val_fraction < 1:
            yield "val_fraction", f"must be in [0, 1), is {self.val_fraction}"


@dataclass
class ClassGridConfig:
    per_class: int = option(1000, "images asked for of each class (ddb.md 3.1: 1000)")

    def check(self) -> Iterator[tuple[str, str]]:
        if self.per_class < 1:
            yield "per_class", f"must be at least 1, is {self.per_class}"
