"""Fitting, testing and predicting landmarks, stage by stage."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import torch
from PIL import Image

from lab.data.base import Facts
from lab.errors import UserError
from lab.metrics.landmarks import LandmarkErrors
from lab.papers.landmarks.config import LandmarkModuleConfig
from lab.papers.landmarks.module import LandmarkModule, stretched
from lab.stages.load import load_module

TEST = "  tested: {verb: test, weights: fitted}\n"
LOOK = "  looked: {verb: predict, split: test, weights: fitted}\n"


def test_fit_test_and_predict_agree(fit):
    made = fit(TEST + LOOK)
    tested = {name.removeprefix("test/"): value for name, value in made["tested"].metrics.items()}
    looked = made["looked"].metrics
    for name in ("mre_mm", "sd_mm", "mre_px", "sdr_2mm", "sdr_4mm", "sdr_10mm", "outliers", "missing", "points"):
        assert looked[name] == pytest.approx(tested[name], rel=1e-4), name
    assert tested["points"] == 5 * 37 and tested["missing"] == 0 and "landmark/36_mre_mm" in tested
    assert {"val/loss", "val/mre_mm"} <= set(made["fitted"].metrics)

    table = made["looked"].table()
    module = load_module(made["fitted"])
    errors = LandmarkErrors(module.landmarks.names, "mm", module.landmarks.radii)
    errors.update(table["point"], table["truth"], torch.ones(5, 2), table["spacing"])
    assert float(errors.compute()["mre_mm"]) == pytest.approx(looked["mre_mm"], rel=1e-5)
    assert float(table["error"].mean()) == pytest.approx(looked["mre_mm"], rel=1e-5)
    assert torch.allclose(table["point_mm"], (table["point"] + 0.5) * table["spacing"][:, None])
    assert ((table["confidence"] >= 0) & (table["confidence"] <= 1)).all()
    assert (table["point"] >= -1).all() and (table["point"] <= table["size"][:, None] + 1).all()
    assert {path.name for path in made["looked"].pictures()} == {"overlays.png", "errors.png"}
    for path in made["looked"].pictures():
        with Image.open(path) as image:
            assert np.asarray(image).std() > 10


def test_it_learns(fit):
    made = fit(TEST, "data.n_labels=2", "trainer.max_epochs=null", "trainer.max_steps=20", "trainer.validate_every=0",
               "stages.fitted.module.lr=0.01", "stages.fitted.module.augment=0", "trainer.log_every=1")  # fmt: skip
    with (made["fitted"].path / "curves.csv").open() as file:
        losses = [float(row["value"]) for row in csv.DictReader(file) if row["name"] == "train/loss"]
    assert losses[-1] < losses[0] - 1


@pytest.mark.parametrize(
    "options",
    [
        ("loss=channel_ce", "target=disc", "decoder=contour", "published=true"),
        ("decoder=soft_argmax",),
    ],
)
def test_other_losses_and_decoders_run(fit, options):
    made = fit(TEST, *(f"stages.fitted.module.{option}" for option in options), "trainer.max_epochs=1")
    found = made["tested"].metrics
    assert np.isfinite(found["test/mre_mm"]) and found["test/points"] == 185


def test_another_stage_is_a_start_without_its_head(fit):
    stages = """\
  second:
    verb: fit
    like: fitted
    module: {lr: 1.0e-9, augment: 0.0, weight_decay: 0.0}
    needs: {init: fitted}
  encoder:
    verb: fit
    like: second
    module: {init: encoder}
    needs: {init: fitted}
"""
    made = {name: artefact.weights() for name, artefact in fit(stages, "trainer.max_epochs=1").items()}
    kept = {
        name: {k for k, v in made[name].items() if v.is_floating_point() and "running" not in k
               and torch.allclose(v, made["fitted"][k], atol=1e-6)}
        for name in ("second", "encoder")
    }  # fmt: skip
    weights = {k for k, v in made["fitted"].items() if v.is_floating_point() and "running" not in k and v.ndim > 1}
    heads = {k for k in weights if "segmentation_head" in k}
    decoders = {k for k in weights if ".decoder." in k}
    assert heads and weights & kept["second"] == weights - heads
    assert weights & kept["encoder"] == weights - heads - decoders


def test_a_network_of_another_shape_is_no_start(fit, capsys):
    stages = """\
  second:
    verb: fit
    like: fitted
    module: {network: {decoder_channels: [4, 4, 4]}}
    needs: {init: fitted}
"""
    fit(stages, "trainer.max_epochs=1", status=2)
    said = capsys.readouterr().err.splitlines()[-1]
    assert "lab: error: weights: " in said and "landmarks/heatmaps (artefact " in said and "at least 95 %" in said


def test_the_learning_rate_falls_on_a_plateau(fit):
    module = "stages.fitted.module"
    made = fit("", f"{module}.plateau=0", f"{module}.lr=1e-8", f"{module}.plateau_factor=0.1", "trainer.max_epochs=3",
               "trainer.select=best", "trainer.monitor=val/loss", "trainer.mode=min", "trainer.patience=2")  # fmt: skip
    assert made["fitted"].metrics["epochs"] >= 2


def test_a_plateau_needs_validation(fit, capsys):
    fit("", "stages.fitted.module.plateau=3", "data.use_val_labels=false", status=2)
    assert "plateau waits for val/loss, but nothing is validated" in capsys.readouterr().err


def test_images_without_labels_are_not_fitted_to(fit, capsys):
    fit("", "data.images=train", "trainer.validate_every=0", status=2)
    assert "the training images have no labels; set data.images=labelled" in capsys.readouterr().err


def test_data_without_landmarks_are_refused():
    facts = Facts((), (), np.zeros((0, 0), dtype=bool), (1, 32, 32), {}, np.zeros(0, int), np.zeros(0, int))
    with pytest.raises(UserError, match="the data have no landmarks"):
        LandmarkModule(LandmarkModuleConfig(), facts)


def test_each_image_is_stretched_by_itself():
    images = torch.rand(3, 1, 8, 8) * torch.tensor([0.1, 1.0, 0.0])[:, None, None, None] + 0.2
    found = stretched(images)
    assert found.amin((1, 2, 3)).tolist() == [0, 0, 0] and found.amax((1, 2, 3)).tolist() == pytest.approx([1, 1, 0])


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"sigma": 0.0}, "sigma"),
        ({"augment": 1.5}, "augment"),
        ({"shift": -1.0}, "shift"),
        ({"scale": 1.0}, "scale"),
        ({"plateau": -1}, "plateau"),
        ({"plateau": 3, "schedule": "cosine"}, "schedule"),
        ({"plateau_factor": 1.0}, "plateau_factor"),
        ({"published": True}, "decoder"),
        ({"lr": 0.0}, "lr"),
    ],
)
def test_options_are_checked(options, key):
    assert [field for field, _ in LandmarkModuleConfig(**options).check()] == [key]
    assert not list(LandmarkModuleConfig().check())
