"""The official label formats, each mistake in one line, and the real chest labels through the same reader."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from lab.data.landmarks.drawn_chests import MEAN
from lab.data.landmarks.labels import cephalometric_points, chest_points, hand_points
from lab.errors import DataError

CHEST = "6\n0.41625 0.14375\n0.148125 0.798125\n0.4075 0.59875\n0.63 0.12875\n0.891875 0.7825\n0.7625 0.685\n"
HEAD = "\n".join([f"{100 + n},{200 + n}" for n in range(19)] + ["1"] * 8)
HAND = ",".join(["3128", *(str(n) for n in range(74))])


def test_each_format_is_read():
    assert chest_points(CHEST, "x")[1].tolist() == [0.148125, 0.798125]
    assert cephalometric_points(HEAD, "x")[18].tolist() == [118, 218]
    found = hand_points(f"{HAND}\n{HAND.replace('3128', '3129')}\n", "x")
    assert list(found) == ["3128", "3129"] and found["3129"].shape == (37, 2)
    assert found["3128"][36].tolist() == [72, 73]


@pytest.mark.parametrize(
    ("read", "text", "said"),
    [
        (chest_points, CHEST.replace("6\n", "5\n", 1), "the number of points, 6; it is '5'"),
        (chest_points, "", "the number of points, 6; it is ''"),
        (chest_points, "\n".join(CHEST.splitlines()[:-1]), "holds 5 points; there have to be 6"),
        (chest_points, CHEST.replace("0.63", "1.63"), r"line 5: \(1.63, 0.12875\) is outside the image"),
        (chest_points, CHEST.replace("0.63", "nan"), "line 5: 'nan 0.12875' is not two finite numbers"),
        (chest_points, CHEST.replace("0.63", "left"), "line 5: 'left 0.12875' is not two numbers"),
        (cephalometric_points, HEAD.replace("101,201\n", ""), "holds 18 points; there have to be 19"),
        (cephalometric_points, HEAD.replace("101,201", "101;201"), "holds 18 points"),
        (cephalometric_points, HEAD.replace("101,201", "101,2O1"), "line 2: '101 2O1' is not two numbers"),
        (hand_points, HAND[:-3], "line 1: has 74 columns; there have to be 75"),
        (hand_points, f"{HAND}\n\n{HAND}", "line 3: image 3128 is in the file already"),
        (hand_points, HAND.replace(",70,", ",,"), "line 1: ' 71' is not two numbers"),
        (hand_points, "\n", "has no rows"),
    ],
)
def test_a_mistake_is_one_line(read, text, said):
    with pytest.raises(DataError, match=rf"^some\.txt.*{said}") as error:
        read(text, "some.txt")
    assert "\n" not in str(error.value)


def test_the_real_chest_labels():
    path = Path(os.environ.get("LAB_DATA", "")) / "xray" / "chest_labels.zip"
    if not path.is_file():
        pytest.skip("needs LAB_DATA with xray/chest_labels.zip")
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(".txt")]
        points = np.array([chest_points(archive.read(name).decode(), name) for name in names])
    assert points.shape == (279, 6, 2)
    assert np.abs(points.mean(0) - MEAN).max() < 0.001  # what the drawn chests are distributed about
