"""`lab predict --audit`: a model that goes by the ground's colour, on labelled images whose colours are independent."""

from __future__ import annotations

import csv
import html
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lab.cli import main
from lab.data.shapes import GROUNDS, SHAPES, Shapes, ShapesConfig

RUN = """
name: audited
data: {name: shapes, classes: 3, train: 240, val: 12, test: 12, image_size: 16, rho: 1.0}
trainer: {max_epochs: 4, batch_size: 20, accelerator: cpu, validate_every: 0}
predict: {model: plain}
stages:
  plain: {verb: fit, module: {name: classifier, lr: 0.01, network: {arch: cnn, arch_options: {width: 8}}}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, and `own/CLASS/*.png` with `told.csv`, what a person would say of them."""
    base = tmp_path_factory.mktemp("audit")
    (base / "audited.yaml").write_text(RUN)
    assert main(["fit", "--config", str(base / "audited.yaml"), f"runs_dir={base / 'runs'}"]) == 0
    images = Shapes(ShapesConfig(classes=3, train=12, val=12, test=120, image_size=16, draw_seed=1)).split("test")
    lines = ["image,caption"]
    for row, (pixels, label, bias) in enumerate(zip(images.images, images.labels, images.bias, strict=True)):
        file = base / "own" / SHAPES[label] / f"{row}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(file)
        lines.append(f"{SHAPES[label]}/{row}.png,a {SHAPES[label]} on {GROUNDS[bias]} ground")
    (base / "told.csv").write_text("\n".join(lines))
    return base


def audit(folder: Path, output: Path, *more: str) -> int:
    own = ["--input", str(folder / "own"), "--output", str(output), "--runs-dir", str(folder / "runs")]
    return main(["predict", "audited", *own, "--audit", *more])


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def test_the_ground_is_named_and_the_page_says_so(folder: Path, tmp_path: Path, capsys) -> None:
    assert audit(folder, tmp_path, "--captions", str(folder / "told.csv")) == 0
    assert "120 images" in capsys.readouterr().out
    named = {(row["class"], row["word"]) for row in read(tmp_path / "names.csv") if row["verdict"] == "bias"}
    assert named == {("disc", "red"), ("square", "green"), ("triangle", "blue")}
    page = (tmp_path / "audit.html").read_text()
    for colour in ("red", "green", "blue"):
        assert f"<strong>{colour}</strong>" in page
    assert not re.search(r'(src|href)="(?!data:)', page)  # opens anywhere


def test_every_image_is_listed_and_the_worst_come_first(folder: Path, tmp_path: Path) -> None:
    assert audit(folder, tmp_path) == 0
    rows = read(tmp_path / "suspicious.csv")
    assert len({row["file"] for row in rows}) == 120
    assert all(row["file"].startswith(row["class"] + "/") for row in rows)
    losses = np.array([float(row["loss"]) for row in rows])
    assert (np.diff(losses) <= 0).all()
    assert np.allclose(losses, -np.log([max(float(row["p(class)"]), 1e-9) for row in rows]), atol=0.3)
    assert rows[0]["class"] != rows[0]["prediction"]


def test_without_captions_it_says_which_images_to_describe(folder: Path, tmp_path: Path, capsys) -> None:
    assert audit(folder, tmp_path) == 0
    wanted = read(tmp_path / "captions.csv")
    assert 30 < len(wanted) <= 60 and not any(row["caption"] for row in wanted)
    assert not (tmp_path / "names.csv").exists()
    assert "Nothing is named yet" in html.unescape((tmp_path / "audit.html").read_text())
    capsys.readouterr()
    assert audit(folder, tmp_path, "--captions", str(tmp_path / "captions.csv")) == 2  # handed back empty
    assert "captions.csv holds no captions" in capsys.readouterr().err


def test_what_can_not_be_audited(folder: Path, tmp_path: Path, capsys) -> None:
    strange = tmp_path / "own" / "hexagon"
    strange.mkdir(parents=True)
    Image.new("RGB", (16, 16)).save(strange / "a.png")
    (tmp_path / "runs").symlink_to(folder / "runs")
    assert audit(tmp_path, tmp_path / "out") == 2
    assert "put the images of each class into a folder of its name: disc, square, triangle" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    own = ["--input", str(folder / "own"), "--output", str(tmp_path / "out"), "--runs-dir", str(folder / "runs")]
    assert main(["predict", "audited", *own, "--captions", "x.csv"]) == 2
    assert "are for --audit" in capsys.readouterr().err
