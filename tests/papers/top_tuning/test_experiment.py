"""The stages together: fine-tuning and its best learning rate, and a head applied to a folder of images."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lab.cli import main
from lab.data.outlines import Outlines, OutlinesConfig
from lab.errors import UserError
from lab.papers.top_tuning.best_of import BestOf
from lab.papers.top_tuning.config import BestOfConfig
from lab.stages.load import load_module
from lab.stages.record import run_artefact
from tests.stages.toy import artefact, fit

EXPERIMENT = """
name: together
data: {name: outlines, family: 1, classes: 4, train: 96, val: 40, test: 40, image_size: 12}
trainer: {max_epochs: 1, batch_size: 32, eval_batch_size: 40, accelerator: cpu}
predict: {model: falkon}
stages:
  other:
    verb: fit
    data: {name: outlines, family: 0, classes: 6, train: 64, val: 12, test: 12, image_size: 12}
    module: {name: classifier, network: {arch_options: {width: 4}}}
  features_train: {verb: predict, split: train, module: {name: features}, needs: {model: other}}
  features_val: {verb: predict, split: val, module: {name: features}, needs: {model: other}}
  features_test: {verb: predict, split: test, module: {name: features}, needs: {model: other}}
  falkon:
    verb: fit
    module: {name: top_tuning/falkon, M: [60]}
    data: {name: features}
    needs: {train: features_train, val: features_val}
  falkon_test: {verb: test, weights: falkon, data: {name: features}, needs: {test: features_test}}
  falkon_images: {verb: predict, weights: falkon, split: test}
  tune_1:
    verb: fit
    module: {name: top_tuning/fine_tune, lr: 1.0e-6, network: {arch_options: {width: 4}}, augment: none}
    needs: {model: other}
    trainer: {max_epochs: 4, select: best, monitor: val/accuracy}
  tune_2: {verb: fit, like: tune_1, module: {lr: 3.0e-3}, needs: {model: other}}
  tuned: {verb: fit, module: {name: top_tuning/best_of}, needs: {a: tune_1, b: tune_2}}
  tuned_test: {verb: test, weights: tuned}
  tune_1_test: {verb: test, weights: tune_1}
  tune_2_test: {verb: test, weights: tune_2}
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("together")
    (folder / "together.yaml").write_text(EXPERIMENT)
    assert fit(folder / "runs", config=folder / "together.yaml") == 0
    return folder / "runs"


def run_of(runs: Path) -> Path:
    (path,) = (path.parent for path in runs.glob("*/run.json"))
    return path


def test_fine_tuning_starts_from_the_other_stage(runs) -> None:
    """With a learning rate of almost 0 its backbone stays what it was; the head is new, with the data's classes."""
    before, after = artefact(runs, "other").weights(), artefact(runs, "tune_1").weights()
    for name, value in after.items():
        if name.startswith("network.trunk"):
            assert torch.allclose(value, before[name], atol=1e-4), name
    assert before["network.head.weight"].shape[0] == 6 and after["network.head.weight"].shape[0] == 4


def test_the_best_learning_rate_is_kept(runs) -> None:
    first, second, best = (artefact(runs, name) for name in ("tune_1", "tune_2", "tuned"))
    better, worse = sorted((first, second), key=lambda made: -made.metrics["val/accuracy"])
    assert better.metrics["val/accuracy"] > worse.metrics["val/accuracy"]
    for name, value in best.weights().items():
        assert torch.equal(value, better.weights()[name])
    for name in ("val/accuracy", "val/loss"):
        assert best.metrics[name] == pytest.approx(better.metrics[name])
    assert best.metrics["val/lr"] == pytest.approx(better.manifest["stage"]["module"]["options"]["lr"])
    tests = [artefact(runs, f"{name}_test").metrics for name in ("tuned", "tune_1" if better is first else "tune_2")]
    assert tests[0] == pytest.approx(tests[1])


def test_its_times_are_those_of_the_fits(runs) -> None:
    fits, best = [artefact(runs, name) for name in ("tune_1", "tune_2")], artefact(runs, "tuned")
    won = max(fits, key=lambda made: made.metrics["val/accuracy"])
    seconds = {made.key: made.manifest["made"]["seconds"] for made in fits}
    assert best.metrics["val/all_seconds"] == pytest.approx(sum(seconds.values()), rel=1e-4)
    assert best.metrics["val/one_seconds"] == pytest.approx(seconds[won.key], rel=1e-4)
    share = won.metrics["kept_step"] / won.metrics["steps"]
    assert best.metrics["val/best_epoch_seconds"] == pytest.approx(seconds[won.key] * share, rel=1e-4)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["stages.tuned.needs.c=falkon"], "`needs: c` is a 'top_tuning/falkon'"),
        (["stages.tuned.module.monitor=val/f1"], "`needs: a` has no val/f1; its metrics: val/"),
    ],
)
def test_candidates_that_cannot_be_compared(runs, overrides, message, tmp_path, capsys) -> None:
    (tmp_path / "store").symlink_to(runs / "store")  # all other stages are there
    assert fit(tmp_path, *overrides, config=runs.parent / "together.yaml") == 2
    *_, line = capsys.readouterr().err.splitlines()
    assert message in line


def test_nothing_to_choose_from(runs) -> None:
    with pytest.raises(UserError, match="nothing to choose from"):
        BestOf(BestOfConfig(), artefact(runs, "tuned").facts(), {})


def test_a_head_sees_images_as_it_saw_their_features(runs) -> None:
    found = artefact(runs, "falkon_images")
    assert found.metrics["accuracy"] == pytest.approx(artefact(runs, "falkon_test").metrics["test/accuracy"])
    head = load_module(artefact(runs, "falkon"))
    features = artefact(runs, "features_test").table()["features"]
    with torch.no_grad():
        expected = (head.scores(features) / head.temperature).softmax(1)
    assert torch.allclose(found.table()["probabilities"].double(), expected.double(), atol=1e-4)


def test_a_folder_of_images_in_any_format(runs, tmp_path, capsys) -> None:
    """Class and probability of each, those of the test rows that the images are."""
    images = (
        Outlines(OutlinesConfig(family=1, classes=4, train=96, val=40, test=40, image_size=12)).split("test").images
    )
    endings = ("png", "bmp", "tif", "webp")
    for row in range(12):
        path = tmp_path / "in" / f"sub{row % 2}" / f"{row:02d}.{endings[row % 4]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[row]).save(path, **({"lossless": True} if path.suffix == ".webp" else {}))
    Image.new("L", (40, 9), 128).save(tmp_path / "in" / "grey.gif")
    run = run_of(runs)
    assert main(["predict", str(run), "--input", str(tmp_path / "in"), "--output", str(tmp_path / "out")]) == 0
    with (tmp_path / "out" / "predictions.csv").open(newline="") as file:
        rows = {Path(row["file"]).stem: row for row in csv.DictReader(file)}
    assert len(rows) == 13
    expected = run_artefact(run, "falkon_images").table()["probabilities"]
    for row in range(12):
        numbers = [float(rows[f"{row:02d}"][f"p(outline_1_{k})"]) for k in range(4)]
        assert np.allclose(numbers, expected[row], atol=1e-3)
        assert rows[f"{row:02d}"]["class"] == f"outline_1_{int(expected[row].argmax())}"
