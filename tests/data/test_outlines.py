"""Drawn outlines: the same each time, other classes in another family, and classes that can be told apart."""

from __future__ import annotations

import numpy as np
import pytest

from lab.data.outlines import Outlines, OutlinesConfig, outlines
from lab.errors import DataError


def test_the_same_options_draw_the_same_images() -> None:
    first, second = (Outlines(OutlinesConfig(train=60)).split("train") for _ in range(2))
    assert np.array_equal(first.images, second.images)
    assert first.images.shape == (60, 24, 24, 3) and first.images.dtype == np.uint8
    assert np.bincount(first.labels).tolist() == [6] * 10
    other = Outlines(OutlinesConfig(train=60, draw_seed=1)).split("train")
    assert not np.array_equal(first.images, other.images)


def test_splits_and_families_share_no_image() -> None:
    made = [Outlines(OutlinesConfig(family=family, train=50, val=50, test=50)) for family in (0, 1)]
    images = [data.split(split).images for data in made for split in ("train", "val", "test")]  # type: ignore[arg-type]
    seen = {image.tobytes() for part in images for image in part}
    assert len(seen) == 6 * 50
    assert set(made[0].class_names).isdisjoint(made[1].class_names)
    assert made[0].fingerprint() != made[1].fingerprint()


def test_an_outline_never_crosses_its_middle() -> None:
    assert outlines(0, 4).shape == (4, 5)
    assert (np.abs(outlines(3, 20)).sum(1) < 0.46).all()  # so that r stays above 0


def test_upright_images_of_a_class_are_alike() -> None:
    """Without difficulty and noise only size and colours vary: the mean images of classes tell them."""
    data = Outlines(OutlinesConfig(difficulty=0, noise=0, train=400, test=100))
    train, test = data.split("train"), data.split("test")

    def shapes(images: np.ndarray) -> np.ndarray:
        grey = images.mean(3).reshape(len(images), -1)
        grey = grey - grey.mean(1, keepdims=True)
        return np.asarray(grey / np.linalg.norm(grey, axis=1, keepdims=True))

    means = np.stack([shapes(train.images)[train.labels == k].mean(0) for k in range(10)])
    said = (shapes(test.images) @ means.T).argmax(1)
    assert (said == test.labels).mean() > 0.9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 1}, "classes has to be 2 to 100"),
        ({"val": 5}, "val has to be at least one image a class"),
        ({"difficulty": 2.0}, "difficulty has to be in"),
        ({"image_size": 4}, "image_size has to be at least 12"),
        ({"noise": -1.0}, "noise has to be in"),
        ({"family": -1}, "family has to be at least 0"),
        ({"stand_in": True}, "stand_in is not for outlines"),
    ],
)
def test_impossible_options(options, message) -> None:
    with pytest.raises(DataError, match=message):
        Outlines(OutlinesConfig(**options))
