"""Two processes find what one finds, and make each row's features once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.stages.toy import artefact, finished, fit, start

EXPERIMENT = """
name: devices
data: {name: outlines, classes: 4, train: 96, val: 40, test: 41, image_size: 12}
trainer: {max_epochs: 1, batch_size: 32, eval_batch_size: 16, recovery_seconds: 1000}
stages:
  features_train: {verb: predict, split: train, module: {name: features, network: {arch_options: {width: 4}}}}
  features_val: {verb: predict, like: features_train, split: val}
  features_test: {verb: predict, like: features_train, split: test}
  falkon:
    verb: fit
    module: {name: top_tuning/falkon, sigma: [1.0, 2.0], penalty: [1.0e-3, 1.0e-5], M: [40]}
    data: {name: features}
    needs: {train: features_train, val: features_val}
  ridge: {verb: fit, like: falkon, module: {name: top_tuning/ridge}, needs: {train: features_train, val: features_val}}
  falkon_test: {verb: test, weights: falkon, data: {name: features}, needs: {test: features_test}}
  ridge_test: {verb: test, weights: ridge, data: {name: features}, needs: {test: features_test}}
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Folders of the same experiment on one and on two devices."""
    folder = tmp_path_factory.mktemp("devices")
    config = folder / "devices.yaml"
    config.write_text(EXPERIMENT)
    two = start(folder / "2", "trainer.devices=2", config=config)
    assert fit(folder / "1", config=config) == 0
    status, output = finished(two)
    assert status == 0, output
    return {1: folder / "1", 2: folder / "2"}


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_features_are_equal(runs, split) -> None:
    one, two = (artefact(runs[n], f"features_{split}").table() for n in (1, 2))
    assert torch.equal(one["index"], two["index"]) and torch.equal(one["label"], two["label"])
    assert torch.allclose(one["features"], two["features"], atol=1e-6)


@pytest.mark.parametrize("head", ["falkon", "ridge"])
def test_heads_are_equal(runs, head) -> None:
    one, two = (artefact(runs[n], head).weights() for n in (1, 2))
    assert one.keys() == two.keys()
    for name in one:
        distance = (one[name].double() - two[name].double()).norm()
        assert distance <= 1e-5 * max(1.0, float(one[name].double().norm())), name
    tests = [artefact(runs[n], f"{head}_test").metrics for n in (1, 2)]
    assert tests[0] == pytest.approx(tests[1], rel=1e-4)
    assert np.isfinite(tests[0]["test/loss"]) and tests[0]["test/rows"] == 41
