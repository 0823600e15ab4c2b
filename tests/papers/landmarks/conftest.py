"""Drawn hands in a root, and experiments on them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lab.cli import main
from lab.data.landmarks.hand import HandLandmarks, HandLandmarksConfig
from lab.stages.artefact import Artefact

EXPERIMENT = """\
name: tried
data: {{name: hand_landmarks, root: {root}, image_size: 32}}
trainer: {{max_epochs: 2, batch_size: 4, validate_every: 1, accelerator: cpu}}
loggers: []
stages:
  fitted:
    verb: fit
    module:
      name: landmarks/heatmaps
      network: {{encoder: timm/test_resnet, decoder_channels: [8, 8, 8]}}
      sigma: 2.0
{stages}
"""

Fit = Callable[..., dict[str, Artefact]]


@pytest.fixture(scope="session")
def hands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hands")
    HandLandmarks.write_stand_in(root, HandLandmarksConfig(stand_in_size=16))
    return root


@pytest.fixture
def fit(hands: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fit:
    """Runs an experiment with these stages besides `fitted`; gives its artefacts by stage."""
    monkeypatch.setattr("lab.reports.write_report", lambda run: run / "report.html")
    monkeypatch.setattr("os.fsync", lambda handle: None)

    def run(stages: str = "", *overrides: str, status: int = 0) -> dict[str, Artefact]:
        config = tmp_path / "tried.yaml"
        config.write_text(EXPERIMENT.format(root=hands, stages=stages))
        assert main(["fit", "--config", str(config), f"runs_dir={tmp_path}/runs", *overrides]) == status
        found = [run for run in (tmp_path / "runs").glob("tried-*") if (run / "artefacts").is_dir()]
        newest = max(found, key=lambda run: run.stat().st_mtime_ns, default=None)
        return {path.name: Artefact(path.resolve()) for path in (newest / "artefacts").iterdir()} if newest else {}

    return run
