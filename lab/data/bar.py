"""BAR, Biased Action Recognition (Nam et al. 2020): six actions; the place they are usual in gives them away."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from lab.config.fields import option
from lab.data.base import Card, Source, Split
from lab.data.bias import assign_bias
from lab.data.biased_mnist import COLOUR_NAMES
from lab.data.drawn import save_figure
from lab.data.listed import (
    ListedConfig,
    ListedImages,
    Row,
    folders_in,
    hold_out,
    images_in,
    label_and_bias,
    no_bias,
)
from lab.errors import DataError

ACTIONS = ("climbing", "diving", "fishing", "pole vaulting", "racing", "throwing")
DESCRIPTIONS = "metadata.json"
"""Of the original form: file name without ending -> {"image_description": title of the image's page, …}."""

CARD = Card(
    name="bar",
    title="BAR",
    licence="mixed, per image in its metadata.json; research only; not to be passed on",
    reference="Nam et al., Learning from Failure: Training Debiased Classifier from Biased Classifier, NeurIPS 2020",
    layout=(
        "form=original: train/ and test/, each with <action>_<n>.jpg (or another ending), the action being climbing, "
        "diving, fishing, 'pole vaulting' (with a space), racing or throwing; 1941 / 654 images, no bias labels; "
        "beside them metadata.json, whose image_description serves as captions; the images may be a part of these. "
        "form=biasensemble: train/align/<action>/, train/conflict/{1pct,5pct}/<action>/, valid/<action>/, "
        "test/<action>/, the action by name or as 0..5, files <id>_<label>_<bias>.jpg. The folder may be called bar, "
        "BAR or BAR-master"
    ),
    sources=(
        Source(
            "https://github.com/alinlab/BAR/archive/refs/heads/master.zip",
            {"": None},
            unpack=True,
            note="the authors' repository (the original form); no published hash",
        ),
        Source(
            "https://github.com/kakaoenterprise/BiasEnsemble",
            {},
            manual=True,
            note="the authors' page links the BiasEnsemble form; no published hash",
        ),
    ),
    folder="bar",
)


@dataclass
class BarConfig(ListedConfig):
    """Which form is read, and how."""

    form: Literal["original", "biasensemble"] = option(
        "original", "original: no bias labels, no validation images; biasensemble: a re-split that has both"
    )
    percent: Literal["1pct", "5pct"] = option("1pct", "biasensemble: folder of conflicting training images")
    val_fraction: float = option(0.1, "original: share of the training images held out for validation, per action")
    val_seed: int = option(0, "original: seed of that draw")

    def check(self) -> Iterator[tuple[str, str]]:
        yield from super().check()
        if not 0 <= self.val_fraction < 1:
            yield "val_fraction", f"has to be in [0, 1), is {self.val_fraction}"


class Bar(ListedImages):
    """Six actions. The bias attribute of the BiasEnsemble form is whether the place is the usual one; the original has
    none. An action may lack images in validation and test, never in training.
    """

    card = CARD
    folders = (CARD.folder, "BAR", "BAR-master", f"{CARD.folder}/BAR-master", "")
    forms = ("original", "biasensemble")
    every_class: tuple[Split, ...] = ("train",)
    tables = (DESCRIPTIONS,)
    class_names = ACTIONS

    def __init__(self, config: BarConfig, cache: Path):
        if config.form == "biasensemble":
            self.bias_names = ("usual place", "other place")
            self.aligned = np.array([[True, False]] * len(ACTIONS))
        else:
            self.aligned = no_bias(len(ACTIONS))
        super().__init__(config, cache)

    @classmethod
    def wanted(cls, config: BarConfig) -> str:
        return "train/align" if config.form == "biasensemble" else f"train/{ACTIONS[0]}_*"

    @classmethod
    def write_stand_in(cls, folder: Path, config: BarConfig, seed: int = 0) -> None:
        """Drawn figures, each action on a colour of its own: 95 % of the training images, none of the test images."""
        rng = np.random.default_rng(seed)
        original = config.form == "original"
        said: dict[str, dict[str, str]] = {}
        counts: dict[str, tuple[int, float]] = {
            "train": (config.stand_in_size, 0.95),
            "test": (config.stand_in_size // 3, 0),
        }
        if not original:
            counts["valid"] = (config.stand_in_size // 6, 0.5)
        for split, (count, rho) in counts.items():
            labels = rng.permutation(np.arange(count) % len(ACTIONS))
            bias = assign_bias(labels, len(ACTIONS), rho, rng)
            for number, (y, b) in enumerate(zip(labels.tolist(), bias.tolist(), strict=True)):
                name = f"{ACTIONS[y]}_{number}.jpg" if original else f"{ACTIONS[y]}/{number}_{y}_{b}.jpg"
                kind = f"train/{'align' if y == b else f'conflict/{config.percent}'}"
                save_figure(folder / CARD.folder / (split if original or split != "train" else kind) / name, y, b, rng)
                said[Path(name).stem] = {"image_description": f"{ACTIONS[y]}, {COLOUR_NAMES[b]} ground"}
        if original:
            (folder / CARD.folder / DESCRIPTIONS).write_text(json.dumps(said), encoding="utf-8")

    def read_rows(self) -> list[Row]:
        return self._biasensemble() if self.config.form == "biasensemble" else self._original()

    def descriptions(self, rows: Sequence[Row]) -> Sequence[str]:
        """Titles of the pages that the images were found on, where metadata.json lies beside them.

        Raises:
            DataError: it can't be read.
        """
        path = self.root / DESCRIPTIONS
        if self.config.form != "original" or not path.is_file():
            return ()
        try:
            said = json.loads(path.read_text(encoding="utf-8"))
            return [str(said.get(Path(row.file).stem, {}).get("image_description") or "") for row in rows]
        except (OSError, ValueError, AttributeError) as error:
            raise DataError(f"{path} can't be read as descriptions of images ({error})") from error

    def _original(self) -> list[Row]:
        train, test = ([(f, self._action(f)) for f in images_in(self.root, part)] for part in ("train", "test"))
        held = hold_out([label for _, label in train], self.config.val_fraction, self.config.val_seed)
        return [
            *(Row(f, y, -1, "val" if out else "train") for (f, y), out in zip(train, held, strict=True)),
            *(Row(f, y, -1, "test") for f, y in test),
        ]

    def _biasensemble(self) -> list[Row]:
        """In training the folder says whether a row is aligned, elsewhere the two numbers in its name do."""
        parts: dict[str, tuple[Split, int | None]] = {
            "train/align": ("train", 0),
            f"train/conflict/{self.config.percent}": ("train", 1),
            "valid": ("val", None),
            "test": ("test", None),
        }
        rows = []
        for part, (split, bias) in parts.items():
            for folder in folders_in(self.root, part):
                label = self._action(folder)
                for file in images_in(self.root, folder):
                    rows.append(Row(file, label, self._other_place(file) if bias is None else bias, split))
        return rows

    def _other_place(self, file: str) -> int:
        label, bias = label_and_bias(self.root, file, len(ACTIONS), len(ACTIONS))
        return int(label != bias)

    def _action(self, name: str) -> int:
        """Action of `train/pole vaulting_12.jpg`, or of a folder `valid/pole vaulting` or `valid/3`."""
        last = Path(name).name
        words = (last.rpartition("_")[0] if Path(name).suffix else last).replace("_", " ").lower()
        if words in ACTIONS:
            return ACTIONS.index(words)
        if words in {str(label) for label in range(len(ACTIONS))}:
            return int(words)
        raise DataError(f"{self.root / name}: '{words or last}' is no action of BAR; they are {', '.join(ACTIONS)}")
