"""What a data set is to the rest of lab: decoded images of three splits, and a card. NumPy only, no torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from lab.config.fields import option, runtime

Split = Literal["train", "val", "test"]


@dataclass
class DataConfig:
    """Options that every data set has."""

    root: str | None = runtime(None, "folder that holds the data set; default LAB_DATA")
    stand_in: bool = option(False, "generate a miniature in the official layout and read that instead")


@dataclass(frozen=True)
class ImageSet:
    """Images of one split, decoded.

    images: uint8 (n, h, w, c), an array or a read-only memory map; c is 1 or 3.
    labels: int64 (n,), in 0..classes-1.
    bias: int64 (n,), the true bias attribute in 0..biases-1, or -1 where it is not known.
    names: n names for people: file names relative to the root, or positions in the source.
    descriptions: what the source says of each image, n texts ("" where it says nothing of one); else empty.
    """

    images: np.ndarray
    labels: np.ndarray
    bias: np.ndarray
    names: Sequence[str]
    descriptions: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Acquisition:
    """How medical images were made, so that a model can refuse others.

    modality: what the scanner was set to ("T1w"), or "various".
    planes: of the slices; empty where it isn't known.
    percentiles: of a volume's voxels: what became 0 and 1.
    spacing: mm between rows and between columns (the median); (1, 1) where it isn't known.
    """

    modality: str
    planes: tuple[str, ...]
    percentiles: tuple[float, float]
    spacing: tuple[float, float]


@dataclass(frozen=True)
class LandmarkFacts:
    """What is located in images, and how errors are counted.

    names: of the landmarks.
    unit: "mm" where the spacing of all images is known, else "px".
    radii: in `unit`, at which detections are counted.
    frame: side of the square in whose pixels px are counted, whatever the image's shape; None: pixels of the original.
    """

    names: tuple[str, ...]
    unit: Literal["mm", "px"]
    radii: tuple[float, ...]
    frame: int | None


@dataclass(frozen=True)
class Facts:
    """What a module may know of its data before it sees a batch.

    aligned: bool (classes, biases); True where the bias attribute is the one that goes with the class. Empty when the
    data set has no annotated bias.
    image_shape: (c, h, w).
    sizes: rows per split.
    label_counts, group_counts: rows of the *training* split per class, and per group `label * biases + bias`.
    bias_factors: sizes of the attributes that the bias attribute is made of, the last one changing fastest; (2, 2) for
        the scene and the object of UrbanCars. Empty where it is a single one.
    acquisition: of medical images; None for all others.
    landmarks: of images with landmarks; None for all others.
    """

    class_names: tuple[str, ...]
    bias_names: tuple[str, ...]
    aligned: np.ndarray
    image_shape: tuple[int, int, int]
    sizes: dict[str, int]
    label_counts: np.ndarray
    group_counts: np.ndarray
    bias_factors: tuple[int, ...] = ()
    acquisition: Acquisition | None = None
    landmarks: LandmarkFacts | None = None

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def num_biases(self) -> int:
        return len(self.bias_names)

    def to_plain(self) -> dict[str, Any]:
        """JSON-able form."""
        plain = dataclasses.asdict(self)
        return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in plain.items()}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Facts:
        return cls(
            class_names=tuple(plain["class_names"]),
            bias_names=tuple(plain["bias_names"]),
            aligned=np.array(plain["aligned"], dtype=bool),
            image_shape=tuple(plain["image_shape"]),
            sizes=dict(plain["sizes"]),
            label_counts=np.array(plain["label_counts"], dtype=np.int64),
            group_counts=np.array(plain["group_counts"], dtype=np.int64),
            bias_factors=tuple(plain.get("bias_factors", ())),
            acquisition=_acquisition(plain.get("acquisition")),
            landmarks=_landmarks(plain.get("landmarks")),
        )


def _acquisition(plain: dict[str, Any] | None) -> Acquisition | None:
    if plain is None:
        return None
    planes, percentiles, spacing = (tuple(plain[name]) for name in ("planes", "percentiles", "spacing"))
    return Acquisition(plain["modality"], planes, percentiles, spacing)


def _landmarks(plain: dict[str, Any] | None) -> LandmarkFacts | None:
    if plain is None:
        return None
    return LandmarkFacts(tuple(plain["names"]), plain["unit"], tuple(plain["radii"]), plain["frame"])


class ImageDataset(Protocol):
    """One data set, opened. Files are checked when it is opened; a damaged one raises `DataError` naming it."""

    class_names: tuple[str, ...]
    bias_names: tuple[str, ...]
    aligned: np.ndarray

    def split(self, name: Split) -> ImageSet:
        """Decoded images of a split; the same object each time. Rows keep one order for ever (file or source order)."""
        ...

    def fingerprint(self) -> str:
        """Hash of everything that decides the content of the splits (files, not only options). Cheap when repeated."""
        ...

    @staticmethod
    def read_bias(images: np.ndarray, config: Any) -> np.ndarray | None:
        """Bias attribute (n,) read off uint8 images (n, h, w, c), -1 where none fits; None if it can't be read.

        Needs the options alone, no files: it is asked about generated images, too.
        """
        ...


@dataclass(frozen=True)
class Source:
    """One place that has all files of a data set, or of one part of it.

    url: the folder; an address is `url + file name`. A `manual` source is a page to be visited (account, captcha).
    files: file name -> `algorithm:hex` as published, or None where no hash is. The name is empty where `url` alone is
        the address.
    part: sources of one part are alternatives; every part is needed. Also the folder below the data set's own.
    unpack: the file is an archive (tar or zip) that contains the data set's folder.
    """

    url: str
    files: Mapping[str, str | None]
    part: str = ""
    unpack: bool = False
    manual: bool = False
    note: str = ""


@dataclass(frozen=True)
class Card:
    """What `lab list`, `lab data` and error messages say of a data set."""

    name: str
    title: str
    licence: str
    reference: str
    layout: str
    sources: tuple[Source, ...]
    folder: str

    def looked_in(self, root: Path) -> tuple[Path, ...]:
        """Folders that are tried, in order: `root/folder`, then `root` itself."""
        return (root / self.folder, root)
