"""The three sets in their official layouts: splits, pixels and mm, few labels, and one line for each mistake."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from lab.data.landmarks import base, cephalometric, chest, hand
from lab.data.landmarks.labels import cephalometric_points, hand_points
from lab.errors import DataError

from .conftest import COUNT, SETS


@pytest.mark.parametrize(
    ("counts", "total", "sizes"),
    [
        (chest.COUNTS, 279, (195, 34, 50)),
        (chest.COUNTS, 270, (195, 34, 41)),
        (cephalometric.COUNTS, 400, (130, 20, 250)),
        (hand.COUNTS, 909, (550, 59, 300)),
    ],
)
def test_official_splits_are_blocks_of_sorted_names(counts, total, sizes, tmp_path):
    splits = base.by_position([str(n) for n in range(total)], counts, [total], tmp_path)
    assert splits == ["train"] * sizes[0] + ["val"] * sizes[1] + ["test"] * sizes[2]


def test_an_incomplete_copy_is_said(tmp_path, capsys):
    base.warn.cache_clear()
    splits = base.by_position([str(n) for n in range(100)], chest.COUNTS, [279], tmp_path)
    assert [splits.count(name) for name in base.SPLITS] == [70, 12, 18]
    assert "has 100 labelled images, not 279: divided as 70 / 12 / 18" in capsys.readouterr().err
    with pytest.raises(DataError, match="2 labelled images, too few"):
        base.by_position(["a", "b"], chest.COUNTS, [279], tmp_path)


@pytest.mark.parametrize(
    ("name", "count", "sizes"), [("chest", 6, (9, 2, 2)), ("cephalo", 19, (4, 1, 8)), ("hand", 37, (8, 1, 4))]
)
def test_a_set_is_read(name, count, sizes, drawn, opened):
    data = opened(name, drawn)
    splits = [data.split(split) for split in base.SPLITS]
    assert tuple(len(rows) for rows in splits) == sizes
    names = [file for rows in splits for file in rows.names]
    assert names == sorted(names) and len(set(names)) == COUNT
    for rows in splits:
        assert rows.images.shape == (len(rows), 32, 32, 1) and rows.images.dtype == np.uint8
        assert rows.landmarks.shape == (len(rows), count, 2) and len(data.names) == count
        for file, size in zip(rows.names, rows.sizes, strict=True):
            with Image.open(data.root / file) as image:
                assert image.size == tuple(size)
        assert (rows.landmarks >= -0.5).all() and (rows.landmarks <= rows.sizes[:, None] - 0.5).all()
        assert np.array_equal(rows.labels, rows.bias) and len(rows.labels) == 0
    assert data.remarks()[0].startswith(f"{COUNT} labelled images")


def test_chest_labels_are_shares_of_the_side(drawn, opened):
    data = opened("chest", drawn)
    rows = data.split("train")
    shares = np.loadtxt(data.root / "labels" / "CHNCXR_0001_0.txt", skiprows=1)
    assert np.allclose(rows.landmarks[0], shares * rows.sizes[0] - 0.5, atol=1e-3)
    assert np.isnan(rows.spacing).all() and (data.unit, data.frame) == ("px", 512)
    assert opened("chest", drawn, published=True).frame == 256


def test_the_chest_exclusions(drawn, root, opened, monkeypatch):
    monkeypatch.setattr(chest, "EXCLUDED", ("CHNCXR_0002_0", "CHNCXR_0999_0"))
    everything = {record.file for record in opened("chest", drawn).records}
    for options in ({"exclude": True}, {"published": True}):
        kept = {record.file for record in opened("chest", drawn, **options).records}
        assert everything - kept == {"pngs/CHNCXR_0002_0.png"}


def test_two_readers_and_their_mean(drawn, opened):
    truth = {}
    for reader in ("junior", "senior", "mean"):
        data = opened("cephalo", drawn, reader=reader)
        truth[reader] = data.split("test").landmarks
    assert np.allclose(truth["mean"], (truth["junior"] + truth["senior"]) / 2, atol=1e-3)
    assert not np.allclose(truth["junior"], truth["senior"], atol=0.1)
    file = data.split("test").names[0]
    film = cephalometric_points(
        (data.root / file.replace("jpg/", "400_senior/").replace(".jpg", ".txt")).read_text(), "x"
    )
    assert np.allclose(truth["senior"][0], (film + 0.5) * (241 / 1935, 300 / 2400) - 0.5, atol=1e-3)


def test_a_tenth_of_a_mm_whatever_the_size_of_the_copy(drawn, root, opened):
    before = opened("cephalo", drawn).records[0]
    path = root / "cephalo" / "jpg" / "001.jpg"
    with Image.open(path) as image:
        image.resize((1935, 2400)).save(path)
    after = opened("cephalo", root).records[0]
    assert after.size == (1935, 2400) and np.allclose(after.spacing, 0.1)
    same = np.array(before.points + 0.5) * before.spacing, np.array(after.points + 0.5) * after.spacing
    assert np.allclose(*same)  # the same mm


def test_the_released_code_swaps_the_axes_of_the_film(drawn, opened):
    size = (241, 300)
    right = opened("cephalo", drawn).records[0]
    assert right.size == size and np.allclose(right.spacing, (193.5 / 241, 240 / 300))
    assert np.allclose(opened("cephalo", drawn, published=True).records[0].spacing, (240 / 241, 193.5 / 300))


def test_fifty_mm_across_the_wrist(drawn, opened):
    for wrist in ((0, 4), (1, 5)):
        for record in opened("hand", drawn, wrist=wrist).records:
            across = (record.points[wrist[0]] - record.points[wrist[1]]) * record.spacing
            assert np.hypot(*across) == pytest.approx(50) and record.spacing[0] == record.spacing[1]
    released = opened("hand", drawn, published=True).records
    for record in released:
        squashed = (record.points[0] - record.points[4]) / record.size * 256
        assert np.hypot(*squashed) * record.spacing[0] * record.size[0] / 256 == pytest.approx(50)
    points = np.array([record.points for record in released])
    ratio = np.hypot(*(points[:, 0] - points[:, 4]).T) / np.hypot(*(points[:, 1] - points[:, 5]).T)
    assert 1.0 < ratio.mean() < 1.15  # 1.08 over the official labels


def test_a_row_without_an_image_is_left_out(drawn, opened):
    data = opened("hand", drawn)
    assert len(hand_points((data.root / "labels/all.csv").read_text(), "x")) == COUNT + 1
    assert len(data.records) == COUNT


def test_few_labels_are_a_seeded_subset_that_grows(drawn, opened):
    full = opened("hand", drawn).split("train")
    chosen = {}
    for count, seed in ((2, 0), (5, 0), (2, 1)):
        data = opened("hand", drawn, n_labels=count, subset_seed=seed)
        rows = data.split("train")
        chosen[count, seed] = rows.names
        place = [full.names.index(name) for name in rows.names]
        assert len(rows) == count and np.array_equal(rows.landmarks, full.landmarks[place])
        assert np.array_equal(rows.images, full.images[place])
        assert len(data.split("val")) == 1 and len(data.split("test")) == 4
    assert set(chosen[2, 0]) < set(chosen[5, 0]) and chosen[2, 0] != chosen[2, 1]
    assert opened("hand", drawn, n_labels=3, published=True).split("train").names == full.names[:3]
    assert opened("hand", drawn, use_val_labels=False).split("val").names == []
    with pytest.raises(DataError, match=r"n_labels=9, but .* has 8 labelled training images"):
        opened("hand", drawn, n_labels=9).split("train")


@pytest.mark.parametrize(("images", "sizes"), [("train", (8, 1, 0)), ("train_val", (9, 1, 0))])
def test_images_for_pre_training_have_no_labels(images, sizes, drawn, opened):
    data = opened("hand", drawn, images=images)
    splits = [data.split(split) for split in base.SPLITS]
    assert tuple(len(rows) for rows in splits) == tuple(len(rows.images) for rows in splits) == sizes
    assert all(np.isnan(rows.landmarks).all() for rows in splits)
    tested = opened("hand", drawn).split("test").names
    assert not set(tested) & set(splits[0].names)


def test_the_fingerprint_follows_files_and_options(drawn, root, opened):
    print_of = {opened("hand", drawn).fingerprint(), opened("hand", root).fingerprint()}
    assert len(print_of) == 1  # where it lies does not matter
    for options in ({"n_labels": 2}, {"n_labels": 2, "subset_seed": 1}, {"image_size": 16}, {"published": True}):
        print_of.add(opened("hand", drawn, **options).fingerprint())
    table = root / "hand" / "labels" / "all.csv"
    table.write_text(table.read_text().replace(".1", ".2", 1))
    assert len(print_of | {opened("hand", root).fingerprint()}) == 6


def test_sixteen_bits_keep_their_contrast(root, opened):
    path = root / "hand" / "jpg" / "3000.jpg"
    with Image.open(path) as image:
        levels = np.asarray(image.convert("L"))
    path.unlink()
    Image.fromarray(1000 + 4 * levels.astype(np.uint16)).save(path.with_suffix(".png"))
    pixels = opened("hand", root).split("train").images[0]
    assert pixels.max() > 200 and pixels.min() < 10


def spoil_label(folder):
    (folder / "cephalo" / "400_senior" / "003.txt").unlink()


def spoil_reading(folder):
    path = folder / "cephalo" / "400_junior" / "003.txt"
    path.write_text("29360,5\n" + path.read_text().partition("\n")[2])


def spoil_image(folder):
    path = folder / "hand" / "jpg" / "3002.jpg"
    path.write_bytes(path.read_bytes()[:2000])


def spoil_header(folder):
    (folder / "hand" / "jpg" / "3002.jpg").write_bytes(b"no image")


def lose_image(folder):
    (folder / "chest" / "pngs" / "CHNCXR_0004_0.png").unlink()


def lose_row(folder):
    path = folder / "hand" / "labels" / "all.csv"
    path.write_text("".join(line for line in path.open() if not line.startswith("3005")))


def move_point(folder):
    path = folder / "hand" / "labels" / "all.csv"
    first, _, rest = path.read_text().partition(",")
    path.write_text(f"{first},5000,{rest.partition(',')[2]}")


def lose_images(folder):
    (folder / "hand" / "jpg").rename(folder / "hand" / "elsewhere")


def lose_set(folder):
    (folder / "chest" / "labels").rename(folder / "elsewhere")


@pytest.mark.parametrize(
    ("name", "spoil", "said"),
    [
        ("cephalo", spoil_label, r"400_senior/003\.txt is missing"),
        ("cephalo", spoil_reading, r"003\.txt: point 0 \(29360, 5\) is outside its image of 1935 x 2400"),
        ("hand", spoil_image, r"3002\.jpg can't be decoded"),
        ("hand", spoil_header, r"3002\.jpg is not an image"),
        ("chest", lose_image, r"labels/CHNCXR_0004_0\.txt has no image \(1 of 13 are missing\)"),
        ("hand", lose_row, r"all\.csv has no row for jpg/3005\.jpg"),
        ("hand", move_point, r"image 3000: point 0 \(5000, "),
        ("hand", lose_images, r"has no folder of images: looked for jpg"),
        ("chest", lose_set, r"is not here: looked for labels/CHNCXR_\*\.txt"),
    ],
)
def test_what_is_wrong_is_one_line(name, spoil, said, root, opened, tmp_path):
    spoil(root)
    with pytest.raises(DataError, match=said) as error:
        opened(name, root).split("train")
    assert "\n" not in str(error.value)
    assert not list((tmp_path / "cache").glob("*.part"))


@pytest.mark.parametrize(
    ("name", "options", "key"),
    [
        ("hand", {"image_size": 8}, "image_size"),
        ("hand", {"n_labels": 0}, "n_labels"),
        ("hand", {"n_labels": 3, "images": "train"}, "n_labels"),
        ("hand", {"wrist": (0, 37)}, "wrist"),
        ("chest", {"frame": None}, "frame"),
        ("chest", {"frame": 0}, "frame"),
        ("cephalo", {"stand_in_size": 3}, "stand_in_size"),
    ],
)
def test_options_are_checked(name, options, key):
    assert [field for field, _ in SETS[name][1](**options).check()] == [key]
    assert not list(SETS[name][1]().check())
