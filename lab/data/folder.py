"""A folder of images without labels, for `lab predict`. NumPy and Pillow."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from lab.config.fields import option
from lab.data.base import ImageSet
from lab.data.files import Resize, decode, decoded, digest, fingerprint_files, in_order
from lab.errors import DataError

ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".jfif", ".pgm", ".ppm"})


@dataclass
class FolderConfig:
    """Which images are read, and how."""

    path: str
    image_size: int = option(224, "side in pixels")
    resize: Resize = option("squeeze", "how an image becomes a square: squeeze takes the whole, crop its middle")
    skip_damaged: bool = option(False, "leave out images that can't be decoded, instead of stopping at the first")


class ImageFolder:
    """All images below a folder, or the one image that the path is: upright, RGB, transparency over white.

    Raises:
        DataError: there is no such folder, or no image in it.
    """

    def __init__(self, config: FolderConfig, cache: Path):
        self.config, self.cache = config, cache
        path = Path(config.path).expanduser()
        self.root = path.parent if path.is_file() else path
        self.names = [path.name] if path.is_file() else find_images(path)
        self.damaged: list[str] = []
        """A line for each image that `skip_damaged` left out; filled by the first `split`."""

    def split(self, name: str) -> ImageSet:
        """All images, whatever the split's name; labels and biases are all -1.

        Raises:
            DataError: naming an image that can't be decoded, unless `skip_damaged`; or none can.
        """
        return self._images

    def fingerprint(self) -> str:
        index = self.cache / f"hashes-{digest(str(self.root.absolute()))}.json"
        return fingerprint_files(self.names, self.root, index)

    @cached_property
    def _images(self) -> ImageSet:
        size = self.config.image_size
        if self.config.skip_damaged:
            found = dict(zip(self.names, in_order(self._damage, self.names, "checking"), strict=True))
            self.damaged = [line for line in found.values() if line]
            self.names = [name for name, line in found.items() if not line]
            if not self.names:
                raise DataError(f"none of {len(found)} images below {self.root} can be decoded: {self.damaged[0]}")
        target = self.cache / f"folder-{size}-{self.config.resize}-{self.fingerprint()}.npy"
        images = decoded([self.root / name for name in self.names], size, target, self.config.resize)
        unknown = np.full(len(images), -1, dtype=np.int64)
        return ImageSet(images, unknown, unknown, self.names)

    def _damage(self, name: str) -> str:
        """Why an image can't be decoded; empty when it can."""
        try:
            decode(self.root / name, self.config.image_size)
        except DataError as error:
            return str(error)
        return ""


def images_below(folder: Path) -> list[str]:
    """Names of the image files (by ending) below a folder, links followed: relative, with /, sorted, none hidden."""
    names = []
    for place, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if name[0] != "."]
        below = Path(place).relative_to(folder)
        names += [(below / name).as_posix() for name in files if is_image(name)]
    return sorted(names)


def is_image(name: str) -> bool:
    """Whether a file is taken for an image: by its ending, unless it is hidden."""
    return name[0] != "." and os.path.splitext(name)[1].lower() in ENDINGS


def find_images(folder: Path) -> list[str]:
    """Names of the image files (by ending) below a folder, relative to it and sorted; hidden ones are left out.

    Raises:
        DataError: there is no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder.absolute()}")
    names = images_below(folder)
    if not names:
        raise DataError(f"no images below {folder.absolute()}: looked for {', '.join(sorted(ENDINGS))}")
    return names
