"""The recipes under experiments/bases on somebody's own images, whose bias nobody annotated."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lab.cli import main

BASES = Path(__file__).parents[3] / "experiments" / "bases"
EXPERIMENT = """\
extends: [{bases}/ddb.yaml, {bases}/rivals.yaml, {bases}/ddb_plugged.yaml]
name: own
data: {{name: image_groups, root: {root}, image_size: 16}}
trainer: {{batch_size: 16, validate_every: 0, max_steps: 2}}
loggers: []
report: {{headline: [accuracy, balanced_accuracy]}}
stages:
  amplifier_real: null
  amplifier_real_signal: null
  diffusion:
    module:
      unet: {{widths: [8, 8], head_dim: 8, layers_per_block: 1, attn_resolutions: []}}
      timesteps: 50
  synthetic: {{module: {{steps: 1}}, data: {{per_class: 4}}}}
  erm: {{module: {{network: {{arch_options: {{width: 4}}}}}}}}
  jtt_first: {{trainer: {{max_steps: 1}}}}
  dfr: {{trainer: {{max_epochs: 1}}}}
  group_dro: {{enabled: false}}
  bias_oracle: {{enabled: false}}
  erm_features: {{enabled: false}}
  erm_unbiased: {{enabled: false}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """An experiment on 60 images of two classes, their table without a bias column."""
    folder, random = tmp_path / "images", np.random.default_rng(0)
    folder.mkdir()
    lines = ["path,label,split"]
    for row in range(60):
        pixels = random.integers(0, 100, (16, 16, 3), dtype=np.uint8)
        pixels[:8] += 100 * (row % 2)
        Image.fromarray(pixels).save(folder / f"{row}.png")
        lines.append(f"{row}.png,{('dark', 'light')[row % 2]},{('train', 'train', 'val', 'test')[row // 2 % 4]}")
    (folder / "images.csv").write_text("\n".join(lines) + "\n")
    path = tmp_path / "own.yaml"
    path.write_text(EXPERIMENT.format(bases=BASES, root=folder))
    return path


def test_all_but_the_oracles_work_without_bias_labels(
    config: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = ["fit", "--config", str(config), f"runs_dir={tmp_path / 'runs'}"]
    assert main(command) == 0
    run = next((tmp_path / "runs").glob("own-*"))
    found = json.loads((run / "run.json").read_text())["stages"]
    tested = {"erm", "recipe_1", "recipe_2", "lff", "jtt", "lff_ddb", "jtt_ddb"}
    assert {name for name in found if name.endswith("_test")} == {f"{name}_test" for name in tested}
    for name in tested:
        metrics = json.loads((run / "artefacts" / f"{name}_test" / "metrics.json").read_text())
        assert 0 <= metrics["test/accuracy"] <= 1
        assert "test/worst_group_accuracy" not in metrics

    capfd.readouterr()
    needs_bias = {"group_dro": "of every training row", "bias_oracle": "of every row", "erm_features": "of validation"}
    for stage, rows in needs_bias.items():
        assert main([*command, f"stages.{stage}.enabled=true"]) == 2
        (line,) = [line for line in capfd.readouterr().err.splitlines() if "needs the true bias" in line]
        assert rows in line
        assert "give it bias labels, or leave the stage out (`enabled: false`)" in line
