"""`lab data list|get|verify`."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from lab.cli import main
from lab.data.bar import Bar, BarConfig
from lab.data.base import Card
from lab.data.groups_csv import ImageGroups, ImageGroupsConfig
from lab.data.waterbirds import CARD, Waterbirds, WaterbirdsConfig


@pytest.fixture(scope="module")
def generated(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    Waterbirds.write_stand_in(folder, WaterbirdsConfig(stand_in_size=80))
    return folder


@pytest.fixture
def root(generated, tmp_path) -> Path:
    return Path(shutil.copytree(generated, tmp_path / "data"))


def test_list_says_what_is_here(root, monkeypatch, capsys):
    monkeypatch.setenv("LAB_DATA", str(root))
    assert main(["data", "list"]) == 0
    out = capsys.readouterr().out
    assert f"here: {root / CARD.folder}" in out and CARD.licence in out
    assert "not here: lab data get biased_mnist" in out and "always there" in out


def test_verify_counts_and_hashes(root, capsys):
    assert main(["data", "verify", "waterbirds", "--root", str(root), "image_size=16"]) == 0
    out = capsys.readouterr().out
    assert "train: 80 images of 16x16x3" in out
    assert "landbird: 61 (land 58, water 3)" in out and "bias-conflicting: 4 (5.00%)" in out
    assert "fingerprint: " in out


def test_verify_reads_the_files_again(root, capsys):
    arguments = ["data", "verify", "waterbirds", "--root", str(root), "image_size=16"]
    assert main(arguments) == 0
    image = next(root.rglob("*.jpg"))
    stat = image.stat()
    image.write_bytes(bytes(stat.st_size))  # damaged without a trace in its size and time
    os.utime(image, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert main(arguments) == 2
    assert image.name in capsys.readouterr().err


def test_verify_a_set_without_files(capsys):
    assert main(["data", "verify", "shapes", "train=80", "val=8", "test=8"]) == 0
    assert "disc: 20 (red 19" in capsys.readouterr().out


def test_verify_a_set_without_bias_labels(tmp_path, capsys):
    Bar.write_stand_in(tmp_path, BarConfig(stand_in_size=90))
    assert main(["data", "verify", "bar", "--root", str(tmp_path), "image_size=16", "val_fraction=0"]) == 0
    out = capsys.readouterr().out
    assert "  pole vaulting: 15\n" in out and "val: 0 images of 16x16x3" in out and "bias-conflicting" not in out


def test_verify_own_images(tmp_path, capsys):
    ImageGroups.write_stand_in(tmp_path, ImageGroupsConfig(stand_in_size=90))
    folder = tmp_path / "image_groups"
    assert main(["data", "verify", "image_groups", "--root", str(folder), "image_size=16"]) == 0
    assert "  one: 30 (blue 1, green 1, red 28)" in capsys.readouterr().out
    (folder / "images.csv").rename(folder / "table.csv")
    assert main(["data", "verify", "image_groups", "--root", str(folder)]) == 2
    assert "there is no images.csv in " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["verify", "waterbird"], "did you mean 'waterbirds'"),
        (["verify", "shapes", "rho=2"], "rho: has to be in [0, 1]"),
        (["verify", "shapes", "roh=1"], "did you mean 'rho'"),
        (["verify", "shapes", "train=many"], "train: "),
        (["verify", "shapes", "train"], "not of the form key=value"),
        (["verify", "waterbirds", "--root", "nowhere"], "lab data get waterbirds"),
        (["verify"], "which data set?"),
        (["get", "shapes"], "needs no download"),
        (["get", "image_groups"], "needs no download"),
        (["get", "biased_mnist", "--part", "emnist"], "no part 'emnist'"),
    ],
)
def test_bad_input_is_one_line_and_status_2(words, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["data", *words]) == 2
    err = capsys.readouterr().err
    assert said in err and len(err.splitlines()) == 1


def test_get_leaves_alone_what_is_here(root, capsys):
    assert main(["data", "get", "waterbirds", "--root", str(root)]) == 0
    assert "is here already" in capsys.readouterr().out


def test_get_says_what_has_to_be_done_by_hand(tmp_path, capsys):
    assert main(["data", "get", "urbancars", "--root", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert "Whac-A-Mole: has to be visited by hand" in err and f"{tmp_path / 'urbancars'} holds bg-0.95_co_occur" in err


def test_get_unpacks_where_the_set_is_looked_for(generated, tmp_path, monkeypatch, capsys):
    def fake(card: Card, target: Path, tell: object, part: str | None = None) -> Path:
        assert (card, part) == (CARD, None)
        shutil.copytree(generated, target)
        return target / card.folder

    monkeypatch.setattr("lab.data.download.get", fake)
    monkeypatch.setenv("LAB_DATA", str(tmp_path / "new"))
    assert main(["data", "get", "waterbirds"]) == 0
    assert Waterbirds.locate(WaterbirdsConfig()) == tmp_path / "new" / CARD.folder
