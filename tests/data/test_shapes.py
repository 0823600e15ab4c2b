"""Drawn shapes: their bias, what is read off them, and that they depend on their options alone."""

from __future__ import annotations

import colorsys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from lab.data.shapes import Shapes, ShapesConfig, hsv_to_rgb, hue_and_saturation
from lab.errors import DataError

SMALL = {"train": 400, "val": 40, "test": 200}


@pytest.fixture(scope="module")
def shapes() -> Shapes:
    return Shapes(ShapesConfig(**SMALL), Path())


def test_splits_have_the_shape_and_the_bias_that_was_asked_for(shapes):
    train, test = shapes.split("train"), shapes.split("test")
    assert train.images.shape == (400, 20, 20, 3) and train.images.dtype == np.uint8
    assert np.bincount(train.labels).tolist() == [100] * 4
    assert (train.labels == train.bias).mean() == 0.95
    # 0.25 of 50 rows a class is 12.5, which rounds to 12.
    counts = np.bincount(test.bias[test.labels == 0]).tolist()
    assert counts[0] == 12 and sorted(counts) == [12, 12, 13, 13]
    assert shapes.split("train") is train
    assert len(train.names) == len(set(train.names)) == 400


def test_bias_is_read_off_exactly(shapes):
    for name in ("train", "val", "test"):
        images = shapes.split(name)
        assert (shapes.read_bias(images.images, shapes.config) == images.bias).all()


def test_bias_is_read_off_blurred_and_noisy_images(shapes):
    images = shapes.split("test")
    blurred = np.stack([np.asarray(Image.fromarray(i).filter(ImageFilter.GaussianBlur(1.5))) for i in images.images])
    noisy = np.clip(blurred + np.random.default_rng(0).normal(0, 25, blurred.shape), 0, 255).astype(np.uint8)
    assert (shapes.read_bias(noisy, shapes.config) == images.bias).mean() > 0.97


def test_a_grey_image_has_no_bias(shapes):
    assert shapes.read_bias(np.full((2, 20, 20, 3), 128, dtype=np.uint8), shapes.config).tolist() == [-1, -1]


def test_images_depend_on_the_options_and_nothing_else(shapes):
    again, other = Shapes(ShapesConfig(**SMALL)), Shapes(ShapesConfig(**SMALL, draw_seed=1))
    assert (again.split("train").images == shapes.split("train").images).all()
    assert (other.split("train").images != shapes.split("train").images).any()
    assert again.fingerprint() == shapes.fingerprint() != other.fingerprint()
    assert Shapes(ShapesConfig(**SMALL, root="elsewhere")).fingerprint() == shapes.fingerprint()


def test_shape_is_in_the_picture_whatever_the_ground():
    easy = Shapes(ShapesConfig(train=400, test=400, rho=0.25, difficulty=0, noise=0))
    train = easy.split("train")
    # Pixels of the shape are grey; a disc covers more of the picture than a cross does.
    spread = train.images.max(axis=-1).astype(int) - train.images.min(axis=-1)
    area = (spread <= 2).mean(axis=(1, 2))
    by_class = [area[train.labels == k].mean() for k in range(4)]
    assert min(by_class) > 0.05 and by_class[0] > by_class[3]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"rho": 1.5}, "rho"),
        ({"test_rho": -0.1}, "test_rho"),
        ({"classes": 5}, "classes"),
        ({"val": 0}, "val"),
        ({"image_size": 4}, "image_size"),
        ({"noise": 2}, "noise"),
        ({"stand_in": True}, "stand_in"),
    ],
)
def test_options_are_checked(options, field):
    config = ShapesConfig(**options)
    assert [name for name, _ in config.check()] == [field]
    with pytest.raises(DataError, match=field):
        Shapes(config)


def test_colour_conversion_agrees_with_the_standard_library():
    hsv = np.random.default_rng(0).random((50, 3))
    expected = np.array([colorsys.hsv_to_rgb(*row) for row in hsv])
    assert np.allclose(hsv_to_rgb(hsv[:, 0], hsv[:, 1], hsv[:, 2]), expected)
    hue, saturation = hue_and_saturation(expected)
    assert np.allclose(saturation, hsv[:, 1])
    away = np.abs((hue - hsv[:, 0] + 0.5) % 1 - 0.5)
    assert away.max() < 0.02  # the hexagon's hue and the circle's differ a little
