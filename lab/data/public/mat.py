"""Sets whose lists are MATLAB files: Oxford Flowers, Stanford Dogs, Stanford Cars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lab.data.base import Split
from lab.data.class_images import Drawn, Listing
from lab.data.public.layouts import Layout, listing_of, save
from lab.errors import DataError


def read_mat(path: Path, *names: str) -> list[Any]:
    """Variables of a MATLAB file (not of version 7.3), singleton axes removed.

    Raises:
        DataError: the file is absent or damaged, or lacks one.
    """
    from scipy.io import loadmat

    try:
        content = loadmat(path, squeeze_me=True)
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror or error}; the copy is incomplete") from error
    except Exception as error:  # a damaged file may raise anything
        raise DataError(f"{path} is no MATLAB file, or damaged ({error}); get it again") from error
    missing = [name for name in names if name not in content]
    if missing:
        raise DataError(f"{path} has no variable {', '.join(missing)}; get it again")
    return [content[name] for name in names]


def write_mat(path: Path, content: Mapping[str, Any]) -> None:
    from scipy.io import savemat

    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, dict(content))


FLOWER_SPLITS: dict[str, Split] = {"trnid": "train", "valid": "val", "tstid": "test"}


def _read_flowers(root: Path, config: Any) -> Listing:
    (labels,) = read_mat(root / "imagelabels.mat", "labels")
    ids = read_mat(root / "setid.mat", *FLOWER_SPLITS)
    classes = [f"flower {number}" for number in range(1, int(labels.max()) + 1)]
    found = []
    for split, numbers in zip(FLOWER_SPLITS.values(), ids, strict=True):
        for number in np.sort(numbers).tolist():
            if not 1 <= number <= len(labels):
                raise DataError(f"{root / 'setid.mat'} names image {number} of {len(labels)}; get it again")
            found.append((classes[labels[number - 1] - 1], f"jpg/image_{number:05d}.jpg", split))
    return listing_of(found, root, classes)


def _write_flowers(root: Path, classes: Sequence[str], images: Sequence[Drawn], config: Any) -> None:
    for number, drawn in enumerate(images, 1):
        save(drawn.image, root / f"jpg/image_{number:05d}.jpg")
    write_mat(root / "imagelabels.mat", {"labels": np.array([[drawn.label + 1 for drawn in images]], dtype=np.uint8)})
    ids = {
        key: [n for n, drawn in enumerate(images, 1) if drawn.split == split] for key, split in FLOWER_SPLITS.items()
    }
    write_mat(root / "setid.mat", {key: np.array([numbers], dtype=np.uint16) for key, numbers in ids.items()})


def _dog_lists(root: Path) -> Path:
    """The archive of the lists has no folder of its own, so they may lie in one that was made for them."""
    return root / "lists" if (root / "lists").is_dir() else root


def _read_dogs(root: Path, config: Any) -> Listing:
    found = []
    splits: tuple[Split, ...] = ("train", "test")
    for split in splits:
        files, _ = read_mat(_dog_lists(root) / f"{split}_list.mat", "file_list", "labels")
        found += [(file.partition("/")[0].partition("-")[2], f"Images/{file}", split) for file in files.tolist()]
    return listing_of(found, root)


def _write_dogs(root: Path, classes: Sequence[str], images: Sequence[Drawn], config: Any) -> None:
    for split in ("train", "test"):
        files = []
        for number, drawn in enumerate(i for i in images if i.split == split):
            wnid = f"n{2085620 + drawn.label:08d}"
            files.append(f"{wnid}-{classes[drawn.label]}/{wnid}_{split}{number}.jpg")
            save(drawn.image, root / "Images" / files[-1])
        labels = np.array([[drawn.label + 1] for drawn in images if drawn.split == split], dtype=np.uint8)
        write_mat(
            root / f"{split}_list.mat", {"file_list": np.array([[f] for f in files], dtype=object), "labels": labels}
        )


CAR_PARTS: dict[Split, tuple[str, str]] = {
    "train": ("devkit/cars_train_annos.mat", "cars_train"),
    "test": ("cars_test_annos_withlabels.mat", "cars_test"),
}
CAR_CLASSES = "devkit/cars_meta.mat"


def _read_cars(root: Path, config: Any) -> Listing:
    (names,) = read_mat(root / CAR_CLASSES, "class_names")
    classes = [str(name) for name in names.tolist()]
    found: list[tuple[str, str, Split | None]] = []
    for split, (table, folder) in CAR_PARTS.items():
        (rows,) = read_mat(root / table, "annotations")
        if not {"fname", "class"} <= set(rows.dtype.names or ()):
            raise DataError(
                f"{root / table} has no columns fname and class; the test split needs the file 'withlabels'"
            )
        for label, file in zip(rows["class"].tolist(), rows["fname"].tolist(), strict=True):
            if not 1 <= label <= len(classes):
                raise DataError(f"{root / table} has class {label} of {len(classes)}; get it again")
            found.append((classes[label - 1], f"{folder}/{file}", split))
    return listing_of(found, root, classes)


def _write_cars(root: Path, classes: Sequence[str], images: Sequence[Drawn], config: Any) -> None:
    write_mat(root / CAR_CLASSES, {"class_names": np.array([list(classes)], dtype=object)})
    for split, (table, folder) in CAR_PARTS.items():
        chosen = [drawn for drawn in images if drawn.split == split]
        rows = np.zeros((1, len(chosen)), dtype=[("class", object), ("fname", object)])
        for number, drawn in enumerate(chosen):
            rows[0, number] = (np.uint8(drawn.label + 1), f"{number + 1:05d}.jpg")
            save(drawn.image, root / folder / f"{number + 1:05d}.jpg")
        write_mat(root / table, {"annotations": rows})


FLOWERS = Layout("setid.mat", _read_flowers, _write_flowers, ("imagelabels.mat", "setid.mat"))
DOGS = Layout(
    "Images",
    _read_dogs,
    _write_dogs,
    ("train_list.mat", "test_list.mat", "lists/train_list.mat", "lists/test_list.mat"),
)
CARS = Layout(CAR_CLASSES, _read_cars, _write_cars, (CAR_CLASSES, *(table for table, _ in CAR_PARTS.values())))
