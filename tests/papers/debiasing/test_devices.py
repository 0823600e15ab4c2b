"""Every debiasing method comes to the same on two processes as on one: a small experiment, stage by stage."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
import torch

from lab.stages.artefact import Artefact
from tests.stages.toy import finished, fit, start

BASES = Path(__file__).parents[3] / "experiments" / "bases"
EXPERIMENT = """\
extends: [{bases}/rivals.yaml, {bases}/modad.yaml, {bases}/samyna.yaml]
name: all
data: {{name: shapes, classes: 3, train: 90, val: 31, test: 31, image_size: 12, rho: 0.8}}
trainer: {{batch_size: 18, eval_batch_size: 32, validate_every: 0, max_epochs: 2}}
loggers: []
report: {{headline: [accuracy]}}
stages:
  # SGD: Adam would turn the rounding of gradients near zero into whole steps.
  erm: {{module: {{network: {{arch_options: {{width: 4}}}}, optimizer: sgd, lr: 0.03, augment: crop_flip}}}}
  modad_features: {{module: {{published: true}}}}
  modad_anomaly: {{module: {{sheet: 0}}}}
  samyna_biased: {{module: {{errors_per_class: 0}}}}
  samyna_captions: {{module: {{captioner: {{kind: drawn}}, per_pool: 5}}}}
  samyna_naming: {{module: {{encoder: {{kind: bag_of_words}}, significance: null, score: 0.0}}}}
  samyna_all_captions:
    verb: predict
    module: {{name: samyna/captions, rows: all, captioner: {{kind: drawn}}}}
  samyna_groups: {{needs: {{captions: samyna_all_captions}}}}
  bias_oracle: {{enabled: false}}
  erm_unbiased: {{enabled: false}}
  modad_published_features: {{enabled: false}}
  modad_oracle_anomaly: {{enabled: false}}
  # To save time: other methods' signals will do, and tests of a fit are tried elsewhere.
  jtt_first: null
  jtt_signal: null
  jtt: {{needs: {{signal: samyna_signal}}}}
  samyna: null
  samyna_test: null
  erm_test: null
  lff_test: null
  jtt_test: null
  group_dro_test: null
  modad_test: null
"""


def artefacts(runs: Path) -> dict[str, Artefact]:
    (run,) = runs.glob("all-*")
    assert json.loads((run / "run.json").read_text())["status"] == "finished"
    return {path.name: Artefact(path.resolve()) for path in sorted((run / "artefacts").iterdir())}


def test_two_devices_come_to_what_one_comes_to(tmp_path: Path) -> None:
    config, one, two = tmp_path / "all.yaml", tmp_path / "one", tmp_path / "two"
    config.write_text(EXPERIMENT.format(bases=BASES))
    process = start(two, "trainer.devices=2", "trainer.threads=1", config=config)
    assert fit(one, "trainer.threads=1", config=config) == 0
    status, output = finished(process)
    assert status == 0, output
    alone, together = artefacts(one), artefacts(two)
    assert alone.keys() == together.keys() and len(alone) > 14
    for stage, expected in alone.items():
        made = together[stage]
        assert made.manifest["made"]["devices"] == 2
        # A pair of scores that rounding swaps moves an area under a curve of so few rows.
        assert made.metrics == pytest.approx(expected.metrics, rel=1e-3, abs=5e-3, nan_ok=True), stage
        read = Artefact.weights if expected.manifest["stage"]["verb"] == "fit" else Artefact.table
        if expected.manifest["stage"]["verb"] in ("fit", "predict"):
            pairs = read(made), read(expected)
            torch.testing.assert_close(*pairs, rtol=1e-3, atol=1e-4, msg=partial("{}: {}".format, stage))
