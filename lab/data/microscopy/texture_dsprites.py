"""Texture-dSprites: sprites with a texture and a colour, made when they are asked for, in pairs that differ in a known
factor (Dapueto et al., Disentangled representations of microscopy images, IJCNN 2025).

Rows 2i and 2i+1 of a split are a pair. The label is the factor in which the pair differs, so that features of the
images, kept with their labels, are all that weak supervision needs; `drawn_pairs` gives all factors, without files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple, cast

import numpy as np

from lab.config.fields import as_plain, option
from lab.data.base import Card, DataConfig, ImageSet, Source, Split
from lab.data.files import absent, data_root, digest, warn
from lab.data.listed import no_bias
from lab.data.microscopy import textures
from lab.data.microscopy.dsprites import FILE, GRID, SIDE, Sprites, write_drawn
from lab.errors import DataError

VERSION = 1
"""Raise when the same options would draw other images."""

FACTORS = ("texture", "colour", "shape", "scale", "orientation", "x", "y")
SPLITS: tuple[Split, ...] = ("train", "val", "test")

COLOURS = np.array(
    [
        (1, 1, 1),
        (0.9096, 0.5883, 0.3658),
        (0.6350, 0.6928, 0.3627),
        (0.3765, 0.7284, 0.5963),
        (0.3955, 0.7073, 0.7875),
        (0.6964, 0.6221, 0.8997),
        (0.9082, 0.5511, 0.7494),
    ]
)
"""White, and six colours of equal lightness."""

CARD = Card(
    name="texture_dsprites",
    title="Texture-dSprites",
    licence="dSprites: Apache-2.0; Normalized Brodatz: for research, see its page",
    reference="Matthey, Higgins, Hassabis, Lerchner, dSprites, 2017; Abdelmounaime, Dong-Chen, Brodatz textures, 2013",
    layout=f"{FILE} in dsprites/ or the root; {textures.FOLDER}/D*.tif, without which textures are drawn",
    sources=(
        Source("https://github.com/google-deepmind/dsprites-dataset/raw/master/", {FILE: None}),
        Source(
            "https://multibandtexture.recherche.usherbrooke.ca/normalized_brodatz.html",
            {},
            part="textures",
            manual=True,
            note=f"unpack to {textures.FOLDER}; the tiles {', '.join(textures.TILES)} are used",
        ),
    ),
    folder="dsprites",
)


@dataclass
class TextureDspritesConfig(DataConfig):
    """How many pairs, and how many values of each factor are used; with one value a factor is held."""

    train: int = option(200_000, "training pairs")
    val: int = option(2_000, "validation pairs")
    test: int = option(14_000, "test pairs, about as many for each factor")
    changes: int = option(1, "factors in which the members of a pair differ")
    same_allowed: bool = option(False, "draw the changed value freely, the old one among them (released code)")
    image_size: int = option(224, "side in pixels")
    textures: int = option(5, "values of the texture")
    colours: int = option(7, "values of the colour")
    shapes: int = option(3, "square, ellipse, heart: the first so many")
    scales: int = option(6, "values of the scale")
    orientations: int = option(40, "values of the orientation")
    positions: int = option(32, "values of x, and as many of y; 1: in the middle, as objects in microscopy sets are")
    texture_tiles: Literal["auto", "brodatz", "drawn"] = option(
        "auto", "drawn where the tiles are absent, or say which"
    )
    draw_seed: int = option(0, "seed of the pairs")

    def check(self) -> Iterator[tuple[str, str]]:
        largest = dict(zip(("textures", "colours", *SIZES), (5, len(COLOURS), *GRID), strict=False))
        for name, most in largest.items():
            if not 1 <= getattr(self, name) <= most:
                yield name, f"has to be 1 to {most}, is {getattr(self, name)}"
        varied = sum(size > 1 for size in factor_sizes(self))
        if not 1 <= self.changes <= varied:
            yield "changes", f"has to be 1 to {varied}, the number of factors that vary, is {self.changes}"
        for name in ("train", "val", "test"):
            if getattr(self, name) < 1:
                yield name, f"has to be at least 1, is {getattr(self, name)}"
        if self.image_size < 16:
            yield "image_size", f"has to be at least 16, is {self.image_size}"
        if self.stand_in and self.positions > 9:
            yield "positions", f"is at most 9 with the stand-in, which draws them all, is {self.positions}"


SIZES = ("shapes", "scales", "orientations", "positions")


def factor_sizes(config: TextureDspritesConfig) -> tuple[int, ...]:
    """Values of each of `FACTORS` that are used."""
    sprite = (getattr(config, name) for name in (*SIZES, "positions"))
    return (config.textures, config.colours, *sprite)


class Pairs(NamedTuple):
    """Pairs of one split.

    first, second: int64 (P, 7), factors of the members, from 0 on. changed: bool (P, 7), in which they are drawn anew;
    with `same_allowed` some are the same all the same.
    """

    first: np.ndarray
    second: np.ndarray
    changed: np.ndarray

    @property
    def label(self) -> np.ndarray:
        """int64 (P,): the changed factor; the first of them where there are several."""
        return np.asarray(self.changed.argmax(axis=1))

    @property
    def rows(self) -> np.ndarray:
        """int64 (2P, 7): factors of the images, in their order."""
        return np.stack([self.first, self.second], axis=1).reshape(-1, len(FACTORS))


def drawn_pairs(config: TextureDspritesConfig, split: Split) -> Pairs:
    """The pairs of a split: each depends on the options, the split and its own row. Factors change equally often."""
    size: int = getattr(config, split)
    sizes = np.array(factor_sizes(config))
    varied = np.flatnonzero(sizes > 1)
    rng = np.random.default_rng([config.draw_seed, SPLITS.index(split)])
    # Row by row, so that a longer split begins with the shorter one.
    uniform = rng.random((size, 3, len(sizes)))
    first = (uniform[:, 0] * sizes).astype(np.int64)
    order = np.where(sizes > 1, uniform[:, 1], np.inf)
    order[np.arange(size), varied[np.arange(size) % len(varied)]] = -1
    changed = order.argsort(axis=1).argsort(axis=1) < config.changes
    if config.same_allowed:
        fresh = (uniform[:, 2] * sizes).astype(np.int64)
    else:
        fresh = (first + 1 + (uniform[:, 2] * (sizes - 1)).astype(np.int64)) % sizes
    return Pairs(first, np.where(changed, fresh, first), changed)


def values_used(used: int, grid: int, *, circle: bool = False) -> np.ndarray:
    """Which of `grid` values are used, int64 (used,): evenly spread; a single one is the middle.

    circle: the last value is next to the first.
    """
    if circle:
        return np.arange(used) * grid // used
    return np.linspace(0, grid - 1, used).round().astype(np.int64) if used > 1 else np.array([(grid - 1) // 2])


def resize_matrix(old: int, new: int) -> np.ndarray:
    """(new, old): linear interpolation along one axis, smoothed where it shrinks (torchvision's `antialias`)."""
    scale = old / new
    centre = (np.arange(new) + 0.5) * scale
    away = (np.arange(old) + 0.5 - centre[:, None]) / max(scale, 1)
    weights = np.maximum(1 - np.abs(away), 0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


class Rendered:
    """Images that are drawn when rows of them are asked for; else like an array uint8 (n, h, w, 3).

    factors: int64 (n, 7). tiles: float (textures, 224, 224).
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, factors: np.ndarray, sprites: Sprites, tiles: np.ndarray, config: TextureDspritesConfig):
        self.factors, self.sprites = factors, sprites
        size = config.image_size
        self.shape = (len(factors), size, size, 3)
        self.grow = resize_matrix(SIDE, size)
        shrink = resize_matrix(textures.CROP, size)
        self.tiles = shrink @ tiles.astype(np.float32) @ shrink.T
        # Colours are rounded down to 8 bits before anything else happens to them.
        self.colours = np.floor(COLOURS * 255).astype(np.float32)
        self.grid = [
            values_used(used, grid, circle=name == "orientation")
            for name, used, grid in zip(FACTORS[2:], factor_sizes(config)[2:], sprites.grid, strict=True)
        ]

    def __len__(self) -> int:
        return len(self.factors)

    def __getitem__(self, rows: int | slice | Sequence[int] | np.ndarray) -> np.ndarray:
        factors = self.factors[rows]
        if factors.ndim == 1:
            return np.asarray(self[[cast("int", rows)]][0])
        masks = self.sprites[np.stack([of[v] for of, v in zip(self.grid, factors[:, 2:].T, strict=True)], axis=1)]
        grey = (self.grow @ masks.astype(np.float32) @ self.grow.T) * self.tiles[factors[:, 0]]
        return np.asarray((grey[..., None] * self.colours[factors[:, 1]][:, None, None]).round().astype(np.uint8))


class TextureDsprites:
    """Images of sprites; classes are factors. See the module.

    Raises:
        DataError: the file of the sprites is absent or damaged, or has fewer positions than are asked for.
    """

    card = CARD
    class_names: tuple[str, ...] = FACTORS
    bias_names: tuple[str, ...] = ()
    aligned = no_bias(len(FACTORS))

    def __init__(self, config: TextureDspritesConfig, cache: Path):
        for field, message in config.check():
            raise DataError(f"texture_dsprites: {field} {message}")
        self.config = config
        self.root = self.locate(config)
        self.sprites = Sprites(self.root / FILE, cache)
        for name, wanted, there in zip(FACTORS[2:], factor_sizes(config)[2:], self.sprites.grid, strict=True):
            if wanted > there:
                raise DataError(f"{self.sprites.path} has {there} values of {name}, {wanted} are asked for: use fewer")
        self._splits: dict[Split, ImageSet] = {}

    @classmethod
    def locate(cls, config: TextureDspritesConfig) -> Path:
        """Folder of the sprites' file. Raises DataError when it is not there."""
        tried = CARD.looked_in(data_root(config))
        for folder in tried:
            if (folder / FILE).is_file():
                return folder
        raise absent(CARD, FILE, tried)

    @staticmethod
    def stand_in_options(config: TextureDspritesConfig) -> dict[str, int]:
        """What of the options the stand-in depends on."""
        return {"positions": config.positions}

    @classmethod
    def write_stand_in(cls, folder: Path, config: TextureDspritesConfig) -> None:
        """Drawn sprites and textures in the published forms."""
        write_drawn(folder / CARD.folder / FILE, config.positions)
        textures.write_drawn(folder)

    def split(self, name: Split) -> ImageSet:
        if name not in self._splits:
            pairs = self.pairs(name)
            images = cast("np.ndarray", Rendered(pairs.rows, self.sprites, self._tiles, self.config))
            labels = np.repeat(pairs.label, 2)
            names = [f"{name}/{row // 2}{'ab'[row % 2]}" for row in range(len(labels))]
            self._splits[name] = ImageSet(images, labels, np.full(len(labels), -1), names)
        return self._splits[name]

    def pairs(self, split: Split) -> Pairs:
        """Factors of the images of a split."""
        return drawn_pairs(self.config, split)

    def fingerprint(self) -> str:
        options = as_plain(self.config, keep_runtime=False)
        tiles = hashlib.sha256((self._tiles * 255).round().astype(np.uint8).tobytes()).hexdigest()
        return digest([CARD.name, VERSION, options, self.sprites.content, tiles])

    @staticmethod
    def read_bias(images: np.ndarray, config: TextureDspritesConfig) -> None:
        """There is no bias attribute."""

    @cached_property
    def _tiles(self) -> np.ndarray:
        """float (5, 224, 224) in [0, 1]."""
        below = (self.root, self.root.parent)  # beside the file of the sprites, or beside its folder
        files = next((found for root in below if (found := textures.brodatz_files(root))), [])
        kind = self.config.texture_tiles
        if kind == "brodatz" and not files:
            raise absent(
                CARD, f"{textures.TILES[0]}.tif and others", [r / textures.FOLDER for r in below], part="textures"
            )
        if files and kind != "drawn":
            return np.stack([textures.brodatz(path) for path in files])
        if kind == "auto":
            warn(f"no Brodatz tiles in {below[0] / textures.FOLDER}: textures are drawn")
        return np.stack([textures.used_part(textures.procedural(number)) for number in range(len(textures.TILES))])
