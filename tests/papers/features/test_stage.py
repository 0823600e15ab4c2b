"""The feature stage: what the backbone says of images as they are, whatever made it, and again later."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from lab.config import resolve
from lab.data.outlines import Outlines, OutlinesConfig
from lab.errors import UserError
from lab.networks.backbones import build_classifier
from lab.networks.config import NetworkConfig
from lab.papers.features.stage import Features, encoder_of
from lab.stages.artefact import Artefact
from lab.stages.graph import plan
from lab.stages.load import load_module
from tests.stages.toy import artefact, fit

EXPERIMENT = """
name: features
data: {{name: outlines, classes: 3, train: 50, val: 20, test: 20, image_size: 12}}
trainer: {{max_epochs: 1, batch_size: 16, eval_batch_size: 16, accelerator: cpu}}
stages:
  model: {{verb: fit, module: {{name: classifier, network: {{arch_options: {{width: 4}}}}}}}}
  of_stage: {{verb: predict, split: val, module: {{name: features}}, needs: {{model: model}}}}
  of_file:
    verb: predict
    split: train
    module:
      name: features
      network: {{arch_options: {{width: 4}}, weights: none, input_size: 16, mean: [0.4], std: [0.2]}}
  of_timm:
    verb: predict
    split: train
    module:
      name: features
      storage: float16
      network: {{arch: timm/mobilenetv2_050, arch_options: {{pad_type: same}}, weights: {file}, input_size: 32}}
"""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of random weights for a small MobileNetV2 with a head of seven classes."""
    import timm

    torch.manual_seed(1)
    model = timm.create_model("mobilenetv2_050", pad_type="same", num_classes=7)
    path = tmp_path_factory.mktemp("weights") / "mobilenet.safetensors"
    save_file(model.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Path:
    folder = tmp_path_factory.mktemp("features")
    (folder / "features.yaml").write_text(EXPERIMENT.format(file=weights))
    assert fit(folder / "runs", config=folder / "features.yaml") == 0
    return folder / "runs"


def images(split: str) -> torch.Tensor:
    made = Outlines(OutlinesConfig(classes=3, train=50, val=20, test=20, image_size=12)).split(split)  # type: ignore[arg-type]
    return torch.from_numpy(made.images).permute(0, 3, 1, 2).float() / 255


def test_features_are_those_of_the_network(run, weights) -> None:
    config = NetworkConfig(
        arch="timm/mobilenetv2_050", arch_options={"pad_type": "same"}, weights=str(weights), input_size=32
    )
    network = build_classifier(config, 7).eval()
    with torch.no_grad():
        expected = network.features(images("train"))
    table = artefact(run, "of_timm").table()
    assert table["features"].dtype == torch.float16
    assert torch.allclose(table["features"].float(), expected, rtol=2e-3, atol=1e-3)
    labels = Outlines(OutlinesConfig(classes=3, train=50, val=20, test=20, image_size=12)).split("train").labels
    assert np.array_equal(table["label"], labels)
    assert artefact(run, "of_timm").metrics == {"dimensions": 1280.0}


def test_features_of_a_fitted_stage(run) -> None:
    model = load_module(artefact(run, "model"))
    with torch.no_grad():
        expected = model.network.features(images("val"))
    assert torch.allclose(artefact(run, "of_stage").table()["features"], expected, atol=1e-6)


@pytest.mark.parametrize("stage", ["of_stage", "of_file", "of_timm"])
def test_the_same_backbone_comes_back(run, stage) -> None:
    """Also one without weights, which its seed decides."""
    made = artefact(run, stage)
    split = made.manifest["stage"]["split"]
    torch.manual_seed(99)
    found = encoder_of(made)(images(split))
    stored = made.table()["features"]
    assert torch.allclose(found.to(stored.dtype).float(), stored.float(), rtol=2e-3, atol=1e-5)


@pytest.mark.parametrize("what", ["gone", "another"])
def test_weights_that_are_not_what_they_were(run, weights, tmp_path, what) -> None:
    made = artefact(run, "of_timm")
    manifest = json.loads((made.path / "artefact.json").read_text())
    path = tmp_path / "mobilenet.safetensors"
    if what == "another":
        import timm

        save_file(timm.create_model("mobilenetv2_050", pad_type="same", num_classes=7).state_dict(), path)
    manifest["stage"]["module"]["options"]["network"]["weights"] = str(path)
    (tmp_path / "artefact.json").write_text(json.dumps(manifest))
    message = "no file" if what == "gone" else "weights from a file that is another one now"
    with pytest.raises(UserError, match=message):
        encoder_of(Artefact(tmp_path))


def test_what_decides_features_is_in_their_key(run, tmp_path, weights) -> None:
    config = tmp_path / "features.yaml"
    config.write_text(EXPERIMENT.format(file=weights))

    def key(*overrides: str) -> str:
        experiment = resolve(config, overrides=[f"runs_dir={run}", *overrides]).experiment
        return str(next(node for node in plan(experiment, prepare=True) if node.name == "of_timm").key)

    same = key()
    assert key("trainer.eval_batch_size=3", "trainer.workers=1", "trainer.max_epochs=2") == same
    changed = ("module.storage=float32", "module.network.input_size=48", "split=val", "module.network.mean=[0.5]")
    for change in changed:
        extra = ["stages.of_timm.module.network.std=[0.5]"] if "mean" in change else []
        assert key(f"stages.of_timm.{change}", *extra) != same, change
    assert key("data.draw_seed=1") != same
    stat = weights.read_bytes()
    try:
        weights.write_bytes(stat + b" ")
        assert key() != same
    finally:
        weights.write_bytes(stat)


def test_an_interrupted_pass_goes_on(tmp_path, weights, capsys) -> None:
    """Batches that are on disk are not computed again."""
    config = tmp_path / "features.yaml"
    config.write_text(EXPERIMENT.format(file=weights))
    off = [f"stages.{name}.enabled=false" for name in ("model", "of_file")]
    calls: list[int] = []
    original: Callable[..., torch.Tensor] = Features.forward

    def forward(self: Features, batch: torch.Tensor) -> torch.Tensor:
        calls.append(len(batch))
        if len(calls) == 3:
            raise RuntimeError("power cut")
        return original(self, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Features, "forward", forward)
        assert fit(tmp_path / "runs", *off, config=config) == 1
        assert "power cut" in capsys.readouterr().err
        assert calls == [16, 16, 16]
        assert fit(tmp_path / "runs", *off, config=config) == 0
    assert calls == [16, 16, 16, 16, 2]
    assert len(artefact(tmp_path / "runs", "of_timm").table()["label"]) == 50


def test_a_model_without_a_backbone(run, tmp_path, capsys) -> None:
    config = tmp_path / "no.yaml"
    config.write_text(
        EXPERIMENT.format(file="none")
        + "  ddpm: {verb: fit, module: {name: top_tuning/ridge}, data: {name: features},"
        + " needs: {train: of_file, val: val_file}}\n"
        + "  val_file: {verb: predict, like: of_file, split: val}\n"
        + "  wrong: {verb: predict, split: val, module: {name: features}, needs: {model: ddpm}}\n"
    )
    off = ["stages.model.enabled=false", "stages.of_timm.enabled=false"]
    assert fit(tmp_path / "runs", *off, config=config) == 2
    assert "its model is a 'top_tuning/ridge', which has no backbone" in capsys.readouterr().err
