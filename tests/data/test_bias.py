"""How a bias is tied to the class, and read off the ground."""

from __future__ import annotations

import numpy as np
import pytest

from lab.data.bias import assign_bias, associated, border, nearest_colour

LABELS = np.random.default_rng(0).integers(0, 5, 1003)


@pytest.mark.parametrize("rho", [0.0, 0.2, 0.95, 0.997, 1.0])
def test_the_share_is_exact_in_every_class(rho):
    bias = assign_bias(LABELS, 5, rho, np.random.default_rng(1))
    for label in range(5):
        of_class = bias[label == LABELS]
        assert (of_class == label).sum() == round(rho * len(of_class))


def test_conflicting_rows_are_dealt_evenly():
    bias = assign_bias(LABELS, 5, 0.5, np.random.default_rng(1))
    for label in range(5):
        counts = np.bincount(bias[label == LABELS], minlength=5)
        others = np.delete(counts, label)
        assert others.max() - others.min() <= 1


def test_few_confusing_attributes_follow_the_class():
    bias = assign_bias(LABELS, 5, 0.5, np.random.default_rng(1), confusing=2)
    assert set(((bias - LABELS) % 5).tolist()) == {0, 1, 2}


def test_a_stronger_bias_keeps_the_conflicting_rows_of_a_weaker_one_apart():
    weak, strong = (assign_bias(LABELS, 5, rho, np.random.default_rng(1)) != LABELS for rho in (0.9, 0.95))
    assert not (strong & ~weak).any()


def test_border_of_a_small_image():
    image = np.arange(16, dtype=np.uint8).reshape(1, 4, 4, 1)
    assert sorted(border(image)[0, :, 0].tolist()) == [0, 1, 2, 3, 4, 7, 8, 11, 12, 13, 14, 15]


def test_ground_is_read_where_a_white_figure_fills_most_of_the_border():
    image = np.full((1, 16, 16, 3), 255, dtype=np.uint8)
    image[:, :, :3] = (200, 20, 20)
    colours = np.array([[0, 0, 255], [210, 10, 10]], dtype=np.uint8)
    assert nearest_colour(image, colours, 30).tolist() == [1]
    assert nearest_colour(image, colours, 5).tolist() == [-1]
    assert nearest_colour(np.full_like(image, 255), colours, 100).tolist() == [-1]


def test_an_attribute_goes_with_the_class_in_which_it_is_more_frequent():
    counts = np.array([[716, 669], [229, 14]])  # CelebA, in hundreds: blond hair by sex
    labels, bias = (index.repeat(counts.ravel()) for index in np.divmod(np.arange(4), 2))
    assert associated(labels, bias, 2, 2).tolist() == [[False, True], [True, False]]
    unknown = np.full(50, -1)
    with_unknown = associated(np.append(labels, np.zeros(50, int)), np.append(bias, unknown), 2, 2)
    assert (with_unknown == associated(labels, bias, 2, 2)).all()


def test_independent_attributes_go_with_no_class():
    labels, bias = np.divmod(np.arange(6).repeat(7), 3)
    assert not associated(labels, bias, 2, 3).any()
    assert associated(np.zeros(0, int), np.zeros(0, int), 2, 3).shape == (2, 3)


def test_a_biased_construction_is_recognised():
    bias = assign_bias(LABELS, 5, 0.9, np.random.default_rng(0))
    assert (associated(LABELS, bias, 5, 5) == np.eye(5, dtype=bool)).all()
