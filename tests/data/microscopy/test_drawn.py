"""Drawn plankton and cells: what makes the class, and that nothing else does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from lab.data.microscopy.drawn_cells import FACTORS, DrawnCells, DrawnCellsConfig
from lab.data.microscopy.drawn_plankton import DrawnPlankton, DrawnPlanktonConfig, blurred
from lab.data.microscopy.species import NAMES, SPECIES
from lab.errors import DataError

PLANKTON = DrawnPlanktonConfig(species=12, train=120, val=24, test=36, image_size=32)
CELLS = DrawnCellsConfig(train=96, val=8, test=16, image_size=32)


def test_every_species_is_drawn_in_its_frame():
    axis = np.linspace(-1.6, 1.6, 96, dtype=np.float32)
    u, v = np.broadcast_arrays(axis[None, None, :], axis[None, :, None] + np.zeros((3, 1, 1), np.float32))
    drawn = [draw(u, v, np.random.default_rng(0)) for draw in SPECIES]
    for name, darkness in zip(NAMES, drawn, strict=True):
        assert darkness.shape == (3, 96, 96) and darkness.min() >= 0 and darkness.max() <= 1, name
        outside = darkness[:, np.hypot(u[0], v[0]) > 1.35]
        assert outside.max() < 0.05, name
        assert (darkness > 0.3).mean() > 0.01, name
        assert not np.allclose(darkness[0], darkness[1], atol=0.1), f"all {name} are alike"


@pytest.mark.parametrize(("dataset", "config"), [(DrawnPlankton, PLANKTON), (DrawnCells, CELLS)])
def test_splits_are_balanced_differ_and_come_out_the_same(dataset, config):
    opened, again = dataset(config), dataset(config)
    for split in ("train", "val", "test"):
        rows = opened.split(split)
        assert rows.images.shape == (getattr(config, split), 32, 32, 3) and rows.images.dtype == np.uint8
        assert np.ptp(np.bincount(rows.labels, minlength=len(opened.class_names))) <= 1
        assert (rows.images == again.split(split).images).all()
    assert (opened.split("train").images[:8] != opened.split("val").images[:8]).any()
    other = dataset(replace(config, draw_seed=1))
    assert other.fingerprint() != opened.fingerprint() == again.fingerprint()
    assert (other.split("val").images != opened.split("val").images).any()


def test_options_of_the_microscope():
    def grey(**options: object) -> np.ndarray:
        clean = replace(PLANKTON, noise=0.0, blur=0.0, dirt=0.0, train=24)
        return DrawnPlankton(replace(clean, **options)).split("train").images[..., 0].astype(float)

    clean = grey()
    assert np.median(clean[:, 0]) > 180 > np.median(grey(dark_ground=True)[:, 0])
    step = np.abs(np.diff(clean, axis=2)).mean(axis=(1, 2))
    assert (np.abs(np.diff(grey(noise=0.2), axis=2)).mean(axis=(1, 2)) > step).all()
    assert np.abs(np.diff(grey(blur=3.0), axis=2)).mean() < 0.8 * step.mean()
    dark = (grey(size_spread=0.0) < 120).mean(), (grey(size_spread=0.8) < 120).mean()
    assert dark[1] < 0.7 * dark[0]
    assert grey(dirt=20.0).mean() < clean.mean()


def test_blur_has_a_width_for_each_image():
    images = np.zeros((2, 21, 21))
    images[:, 10, 10] = 1
    found = blurred(images, np.array([0.0, 2.0]))
    assert found[0, 10, 10] == pytest.approx(1)
    assert found[1, 10, 10] == pytest.approx(1 / (2 * np.pi * 4), rel=0.03)


@pytest.mark.parametrize("classes_by", [["texture", "scale"], ["colour"]])
def test_the_named_factors_make_the_class_and_no_others(classes_by):
    """A forest on the factors goes by those that were named."""
    opened = DrawnCells(DrawnCellsConfig(train=400, val=8, test=8, image_size=24, classes_by=classes_by))
    labels, factors = opened.split("train").labels, opened.factors("train")
    assert len(opened.class_names) == 2 ** len(classes_by)
    model = RandomForestClassifier(20, random_state=0).fit(factors, labels)
    named = [FACTORS.index(name) for name in classes_by]
    assert model.feature_importances_[named].sum() > 0.9
    for name in named:
        assert set(factors[:, name]) == {0, 3}
    for name in set(range(5)) - set(named):
        assert set(factors[:, name]) == {0, 1, 2, 3}


def test_factors_can_be_seen():
    opened = DrawnCells(replace(CELLS, noise=0.0, blur=0.0, train=400))
    images, factors = opened.split("train").images.astype(float), opened.factors("train")
    grey = images.mean(axis=3)
    area = (grey < np.median(grey[:, 0], axis=1)[:, None, None] - 25).mean(axis=(1, 2))
    by_scale = [area[factors[:, 3] == level].mean() for level in (0, 3)]
    assert by_scale[1] > 2.5 * by_scale[0]
    green = (images[..., 1] - images[..., [0, 2]].mean(axis=3)).max(axis=(1, 2))
    is_green = factors[:, 1] == 2
    assert green[is_green].min() > green[~is_green].mean()


def test_levels_that_make_classes_are_far_apart():
    three = DrawnCells(replace(CELLS, classes_by=["scale"], levels=3))
    assert three.class_names == ("small", "large", "huge")
    assert DrawnCells(CELLS).class_names == ("smooth small", "smooth huge", "netted small", "netted huge")


def test_options_are_checked():
    broken = DrawnPlanktonConfig(stand_in=True, species=13, noise=0.9, image_size=8)
    assert [name for name, _ in broken.check()] == ["stand_in", "species", "image_size", "noise"]
    cells = DrawnCellsConfig(classes_by=["size"], levels=5, jitter=2.0, val=1)
    assert [name for name, _ in cells.check()] == ["classes_by", "levels", "val", "jitter"]
    with pytest.raises(DataError, match="drawn_cells: classes_by has to name some of texture, colour"):
        DrawnCells(cells)
    with pytest.raises(DataError, match="drawn_plankton: stand_in is not for drawn plankton"):
        DrawnPlankton(broken)
