"""The stages of bases/modad.yaml in one run on drawn shapes, with other biased models put in by one line each."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lab.cli import main
from lab.data.signals import SignalTable
from lab.stages.artefact import Artefact
from lab.stages.load import load_module

EXPERIMENTS = Path(__file__).parents[3] / "experiments"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("modad")
    (folder / "plugged.yaml").write_text(
        f"""
extends: {EXPERIMENTS / "modad_shapes.yaml"}
name: plugged
data: {{train: 120, val: 40, test: 40}}
trainer: {{max_epochs: 1}}
stages:
  erm: {{module: {{augment: crop_flip, network: {{arch_options: {{width: 8}}}}}}}}
  lff: {{verb: fit, like: erm, module: {{name: lff}}}}
  lff_features: {{verb: predict, module: {{name: modad/features}}, needs: {{model: lff}}}}
  erm_features: {{verb: predict, like: modad_features, needs: {{model: erm}}}}
  erm_anomaly:
    {{verb: predict, module: {{name: modad/anomaly, detector: knn, threshold: otsu}}, needs: {{signal: erm_features}}}}
  dro: {{verb: fit, like: erm, module: {{name: group_dro, groups: signal}}, needs: {{signal: erm_anomaly}}}}
  modad_published: {{enabled: false}}
  modad_oracle: {{enabled: false}}
claims: []
"""
    )
    assert main(["fit", "--config", str(folder / "plugged.yaml"), f"runs_dir={folder}"]) == 0
    return next(folder.glob("plugged-*"))


def artefact(run: Path, stage: str) -> Artefact:
    return Artefact((run / "artefacts" / stage).resolve())


def test_lff_gives_its_biased_network(run: Path) -> None:
    source = artefact(run, "lff")
    model, table = load_module(source), SignalTable.from_columns(artefact(run, "lff_features").table())
    assert table.features is not None
    said = model.biased.head(table.features).softmax(1)  # type: ignore[union-attr,operator]
    assert torch.allclose(said, table.probabilities, atol=1e-4)
    assert not torch.allclose(model.network.head(table.features).softmax(1), table.probabilities, atol=1e-2)  # type: ignore[union-attr,operator]


def test_published_features_are_of_augmented_images(run: Path) -> None:
    plain, published = (artefact(run, f"modad{kind}_features").table()["features"] for kind in ("", "_published"))
    assert plain.shape == published.shape == (120, 128)
    assert not torch.allclose(plain, published)


def test_each_anomaly_stage_shows_its_metrics_and_pictures(run: Path) -> None:
    for stage in ("modad_anomaly", "modad_published_anomaly", "modad_oracle_anomaly", "erm_anomaly"):
        found = artefact(run, stage)
        assert {"score_auc", "score_average_precision", "biased_loss_auc", "flagged_share"} <= set(found.metrics)
        assert [picture.name for picture in found.pictures()] == ["images.png", "scores.png"]
    assert artefact(run, "modad_oracle_anomaly").metrics["f1"] == 1
    assert "val/memorisation_recall" in artefact(run, "modad_biased").metrics


def test_true_bias_is_read_by_other_methods_as_groups(run: Path) -> None:
    table = SignalTable.from_columns(artefact(run, "modad_oracle_anomaly").table())
    aligned = torch.as_tensor(artefact(run, "erm").facts().aligned)
    assert torch.equal((table.prediction != table.label).long(), table.conflicting_true(aligned))
