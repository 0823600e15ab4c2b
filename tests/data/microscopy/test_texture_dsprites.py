"""Texture-dSprites: pairs that differ as asked, and pictures made as published, from files in the published form."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import functional as F

from lab.data.microscopy import textures
from lab.data.microscopy.dsprites import FILE, GRID, Sprites, write_drawn
from lab.data.microscopy.pairs import TexturePairs
from lab.data.microscopy.texture_dsprites import (
    COLOURS,
    FACTORS,
    TextureDsprites,
    TextureDspritesConfig,
    drawn_pairs,
    factor_sizes,
    resize_matrix,
    values_used,
)
from lab.data.module import Loading
from lab.errors import DataError

SMALL = TextureDspritesConfig(train=60, val=10, test=20, image_size=32, positions=2)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = Path(tmp_path_factory.mktemp("sprites"))
    TextureDsprites.write_stand_in(folder, SMALL)
    return folder


@pytest.fixture(scope="module")
def opened(root) -> TextureDsprites:
    return TextureDsprites(replace(SMALL, root=str(root)), root / "cache")


def test_the_stand_in_has_the_published_layout(root):
    with np.load(root / "dsprites" / FILE) as file:
        assert {"imgs", "latents_classes", "latents_values"} <= set(file.files)
        images, classes, values = file["imgs"], file["latents_classes"], file["latents_values"]
    assert images.dtype == np.uint8 and images.shape == (3 * 6 * 40 * 4, 64, 64) and set(np.unique(images)) == {0, 1}
    assert classes.shape == values.shape == (len(images), 6)
    assert (classes[:, 0] == 0).all() and set(values[:, 1]) == {1, 2, 3}
    assert values[:, 2].min() == 0.5 and values[:, 3].max() == pytest.approx(2 * np.pi)
    area = images.sum(axis=(1, 2))
    by_scale = [area[classes[:, 2] == scale].mean() for scale in range(6)]
    assert by_scale[5] / by_scale[0] == pytest.approx(4, rel=0.05)
    edge = np.concatenate([images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]], axis=1)
    assert not edge.any()
    first = images[(classes[:, 1:] == [2, 5, 0, 0, 1]).all(axis=1)][0]
    centre = np.argwhere(first).mean(axis=0)
    assert centre[0] > 32 > centre[1]  # y is the later of two, x the earlier


def test_sprites_are_the_rows_of_the_file(opened, root):
    values = np.array([[0, 0, 0, 0, 0], [2, 5, 39, 1, 1], [1, 3, 17, 0, 1]])
    with np.load(root / "dsprites" / FILE) as file:
        rows = [np.flatnonzero((file["latents_classes"][:, 1:] == v).all(axis=1))[0] for v in values]
        expected = file["imgs"][rows].astype(bool)
    assert opened.sprites.grid == (3, 6, 40, 2, 2)
    assert (opened.sprites[values] == expected).all()


def test_damaged_files_are_named_and_nothing_is_kept(tmp_path):
    path = tmp_path / FILE
    write_drawn(path, 1)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="can't be read as dSprites"):
        Sprites(path, tmp_path / "cache")
    with np.load(_restore(path, content)) as file:
        arrays = dict(file)
    cases: list[tuple[dict[str, np.ndarray], str]] = [
        ({"imgs": arrays["imgs"] * 2}, "other values than 0 and 1"),
        ({"imgs": arrays["imgs"][:-1]}, "imgs is uint8"),
        ({"latents_classes": arrays["latents_classes"][::-1]}, "not a full grid in order"),
    ]
    for change, message in cases:
        np.savez_compressed(path, **{**arrays, **change})
        with pytest.raises(DataError, match=message):
            Sprites(path, tmp_path / "cache")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "nothing")
    with pytest.raises(DataError, match="can't be read as dSprites"):
        Sprites(path, tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("dsprites-*.npy")) + list((tmp_path / "cache").glob("*.part"))


def _restore(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("changes", [1, 3])
def test_pairs_differ_in_as_many_factors_as_asked(changes):
    config = replace(SMALL, train=4000, changes=changes, orientations=1)
    pairs = drawn_pairs(config, "train")
    assert (pairs.changed.sum(axis=1) == changes).all()
    assert ((pairs.first != pairs.second) == pairs.changed).all()
    assert not pairs.changed[:, FACTORS.index("orientation")].any()
    sizes = np.array(factor_sizes(config))
    for factors in (pairs.first, pairs.second):
        assert (factors >= 0).all() and (factors.max(axis=0) == sizes - 1).all()
    share = pairs.changed.mean(axis=0)
    assert share == pytest.approx(np.where(sizes > 1, changes / 6, 0), abs=0.03)
    if changes == 1:
        assert np.ptp(np.bincount(pairs.label, minlength=7)[sizes > 1]) <= 1


def test_new_values_are_alike_likely(root):
    """All values but the old one; with the released sampler the old one too."""
    pairs = drawn_pairs(replace(SMALL, train=20_000), "train")
    rows = pairs.label == 0
    table = np.zeros((5, 5))
    np.add.at(table, (pairs.first[rows, 0], pairs.second[rows, 0]), 1)
    shares = table / table.sum(axis=1, keepdims=True)
    assert shares == pytest.approx((1 - np.eye(5)) / 4, abs=0.06)
    freely = drawn_pairs(replace(SMALL, train=20_000, same_allowed=True), "train")
    rows = freely.label == 0
    assert (freely.first == freely.second)[rows, 0].mean() == pytest.approx(1 / 5, abs=0.03)
    rows = freely.label == 5
    assert (freely.first == freely.second)[rows, 5].mean() == pytest.approx(1 / 2, abs=0.03)


def test_a_row_depends_on_nothing_but_itself():
    short, long = (drawn_pairs(replace(SMALL, train=n), "train") for n in (50, 500))
    for one, other in zip(short, long, strict=True):
        assert (one == other[:50]).all()
    assert (drawn_pairs(SMALL, "val").first != short.first[:10]).any()
    assert (drawn_pairs(replace(SMALL, train=50, draw_seed=1), "train").first != short.first).any()


def test_values_are_spread_over_the_grid():
    assert values_used(6, 6).tolist() == list(range(6))
    assert values_used(3, 6).tolist() == [0, 2, 5]
    assert values_used(1, 32).tolist() == [15]
    assert values_used(8, 40, circle=True).tolist() == list(range(0, 40, 5))


@pytest.mark.parametrize(("old", "new"), [(64, 224), (64, 32), (64, 20), (224, 64)])
def test_resizing_equals_torchvision(old, new):
    image = torch.rand(1, old, old, generator=torch.Generator().manual_seed(0))
    expected = F.resize(image, [new, new], antialias=True)[0]
    matrix = resize_matrix(old, new)
    assert matrix @ image[0].numpy() @ matrix.T == pytest.approx(expected.numpy(), abs=1e-5)


def test_images_are_made_as_published(opened, root):
    """Sprite times colour, to 8 bits, enlarged, times the texture; step by step with torchvision."""
    config = replace(opened.config, image_size=224)
    large = TextureDsprites(config, root / "cache")
    images = large.split("test").images[:6]
    for image, factors in zip(images, large.pairs("test").rows[:6], strict=True):
        texture, colour, *values = factors
        mask = large.sprites[np.array([values])][0]
        coloured = (255 * mask[..., None] * COLOURS[colour]).astype(np.uint8)
        enlarged = F.resize(F.to_tensor(coloured), [224, 224], antialias=True).movedim(0, 2).numpy()
        path = root / textures.FOLDER / f"{textures.TILES[texture]}.tif"
        tile = np.asarray(Image.open(path), dtype=float)[20:244, 20:244] / 255
        expected = enlarged * tile[..., None] * 255
        assert np.abs(image - expected).max() <= 1
        assert image[:5].max() == 0 and image.max() > 60


def test_neighbouring_rows_are_pairs_and_labels_say_what_changes(opened):
    rows, pairs = opened.split("train"), opened.pairs("train")
    assert len(rows) == 120 and rows.images.shape == (120, 32, 32, 3)
    assert opened.class_names == FACTORS and (rows.labels.reshape(-1, 2) == pairs.label[:, None]).all()
    assert rows.names[6:8] == ["train/3a", "train/3b"]
    images = rows.images[:]
    assert (images[0::2] != images[1::2]).any(axis=(1, 2, 3)).mean() > 0.95  # a square turned by 90 degrees is the same
    assert (rows.images[[7, 2]] == images[[7, 2]]).all() and (rows.images[5] == images[5]).all()


def test_only_what_changes_can_be_seen(root):
    """Colour changes no outline, and position no colour."""
    config = replace(SMALL, root=str(root), train=70, image_size=64)
    opened = TextureDsprites(config, root / "cache")
    images, label = opened.split("train").images[:].reshape(70, 2, 64, 64, 3), opened.pairs("train").label
    for first, second in images[label == FACTORS.index("colour")]:
        assert ((first.max(-1) > 0) == (second.max(-1) > 0)).mean() > 0.995 and (first != second).any()
    for first, second in images[label == FACTORS.index("x")]:
        moved = [np.argwhere(one.max(-1) > 0).mean(axis=0) for one in (first, second)]
        assert abs(moved[0][1] - moved[1][1]) > 8 and abs(moved[0][0] - moved[1][0]) < 2


def test_pairs_as_a_data_module(root, tmp_path):
    config = replace(SMALL, root=str(root), changes=2)
    module = TexturePairs(config, Loading(cache=tmp_path))
    assert module.facts.sizes == {"train": 60, "val": 10, "test": 20} and module.facts.class_names == FACTORS
    batch = module.rows("train")[[5, 3]]
    assert batch.first.shape == (2, 3, 32, 32) and batch.first.dtype == torch.uint8
    images = module.dataset.split("train").images
    assert (batch.first[0].movedim(0, 2).numpy() == images[10]).all()
    assert (batch.second[1].movedim(0, 2).numpy() == images[7]).all()
    assert (batch.changed.sum(1) == 2).all()
    assert ((batch.first_factors != batch.second_factors) == batch.changed).all()
    moved = module.on_after_batch_transfer(batch, 0)
    assert moved.second.dtype == torch.float32 and moved.second.max() <= 1
    assert module.names("val")[:2] == ["val/0", "val/1"] and len(module.labels_and_groups()[0]) == 60


def test_tiles_are_used_drawn_or_missed(root, tmp_path, capsys):
    config = replace(SMALL, root=str(tmp_path))
    write_drawn(tmp_path / FILE, 2)
    with pytest.raises(DataError, match=r"D11\.tif"):
        TextureDsprites(replace(config, texture_tiles="brodatz"), tmp_path).split("val")
    drawn = TextureDsprites(replace(config, texture_tiles="drawn"), tmp_path)
    assert not capsys.readouterr().err
    auto = TextureDsprites(config, tmp_path)
    assert (auto.split("val").images[:] == drawn.split("val").images[:]).all()
    assert "no Brodatz tiles in" in capsys.readouterr().err
    for name in textures.TILES:
        path = tmp_path / textures.FOLDER / f"{name}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (640, 640), 128).save(path)
    flat = TextureDsprites(config, tmp_path)
    assert flat.fingerprint() != auto.fingerprint()
    assert (flat.split("val").images[:] != auto.split("val").images[:]).any()
    Image.new("L", (100, 640)).save(tmp_path / textures.FOLDER / "D40.tif")
    with pytest.raises(DataError, match=r"D40\.tif is 100 x 640 pixels"):
        TextureDsprites(config, tmp_path).split("val")


def test_drawn_textures_are_grey_and_differ():
    tiles = np.stack([textures.procedural(kind) for kind in range(5)])
    assert tiles.shape == (5, 640, 640) and tiles.min() >= 0 and tiles.max() <= 1
    assert tiles.std(axis=(1, 2)).min() > 0.1
    flat = (tiles - tiles.mean(axis=(1, 2), keepdims=True)).reshape(5, -1)
    alike = np.corrcoef(flat)
    assert np.abs(alike[np.triu_indices(5, 1)]).max() < 0.2
    assert (textures.procedural(2) == tiles[2]).all()


def test_what_is_wrong_is_said(tmp_path, root):
    with pytest.raises(DataError, match="is not here: looked for dsprites_ndarray") as error:
        TextureDsprites.locate(TextureDspritesConfig(root=str(tmp_path)))
    assert "lab data get texture_dsprites" in str(error.value)
    with pytest.raises(DataError, match="has 2 values of x, 5 are asked for"):
        TextureDsprites(replace(SMALL, root=str(root), positions=5), tmp_path)
    broken = TextureDspritesConfig(stand_in=True, textures=6, changes=8, image_size=8, train=0)
    assert [name for name, _ in broken.check()] == ["textures", "changes", "train", "image_size", "positions"]
    assert not list(TextureDspritesConfig().check())
    assert factor_sizes(TextureDspritesConfig()) == (5, 7, *GRID)
