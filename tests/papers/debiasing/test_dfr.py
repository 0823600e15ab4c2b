"""Deep feature reweighting as a stage: what it keeps, what it changes, and what it refuses."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lab.data.base import Facts
from lab.data.batch import Batch
from lab.data.signals import SignalTable
from lab.errors import DataError, UserError
from lab.papers.debiasing import config as c
from lab.papers.debiasing.classifier import Classifier
from lab.papers.debiasing.dfr import DFR
from lab.stages.artefact import TABLE, Artefact

from . import conftest as made

OPTIONS = c.DFRConfig(c=[1.0, 0.1], retrains=2, network=made.small_network())


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture
def erm(facts: Facts) -> Classifier:
    return Classifier(c.ClassifierConfig(network=made.small_network(), features=True), facts).eval()


@pytest.fixture
def inputs(tmp_path: Path, erm: Classifier, batch: Batch) -> dict[str, Artefact]:
    """Artefacts of a fit and of its predictions on the validation split."""
    with torch.no_grad():
        columns = erm.predict_step(batch, 0)
    return {"weights": artefact(tmp_path / "erm", {}), "features": predictions(tmp_path / "val", columns)}


def artefact(folder: Path, stage: dict[str, Any]) -> Artefact:
    folder.mkdir()
    (folder / "artefact.json").write_text(json.dumps({"key": folder.name, "stage": stage}))
    return Artefact(folder)


def predictions(folder: Path, columns: dict[str, Tensor], split: str = "val", weights: str = "erm") -> Artefact:
    found = artefact(folder, {"split": split, "inputs": {"weights": weights}})
    SignalTable.from_columns(columns).write(folder / TABLE)
    return found


def test_the_head_alone_changes_in_one_batch(
    facts: Facts, batch: Batch, erm: Classifier, inputs: dict[str, Artefact]
) -> None:
    module = DFR(OPTIONS, facts, inputs)
    module.load_state_dict(erm.state_dict(), strict=True)
    trainer = made.trainer(epochs=5)
    trainer.fit(module, datamodule=made.Rows(batch))
    assert trainer.fit_loop.epoch_loop.total_batch_idx == 0  # the first batch was the last
    for name, value in module.state_dict().items():
        assert torch.equal(value, erm.state_dict()[name]) == (not name.startswith("network.head")), name
    solved = module.solve()
    assert torch.equal(module.network.head.weight, torch.from_numpy(solved.weight))  # type: ignore[arg-type]
    logged = trainer.callback_metrics
    assert logged["val/dfr_c"] in (1.0, pytest.approx(0.1))
    assert logged["val/dfr_rows_per_group"] == 4
    assert {"val/worst_group_accuracy", "val/dfr_held_out_worst_group_accuracy"} <= set(logged)

    plain = DFR(OPTIONS, facts)  # in a test stage: weights alone
    plain.load_state_dict(module.state_dict(), strict=True)
    (tested,) = made.trainer().test(plain, datamodule=made.Rows(batch), verbose=False)
    assert tested["test/worst_group_accuracy"] == pytest.approx(float(logged["val/worst_group_accuracy"]))


def test_rows_without_a_known_bias_are_left_out(facts: Facts, batch: Batch, erm: Classifier, tmp_path: Path) -> None:
    with torch.no_grad():
        columns = erm.predict_step(batch, 0)
    for name in ("group", "bias"):
        columns[name][6:24] = -1
    inputs = {"weights": artefact(tmp_path / "erm", {}), "features": predictions(tmp_path / "val", columns)}
    assert DFR(OPTIONS, facts, inputs).solve().rows_per_group < 4
    assert DFR(replace(OPTIONS, groups="alignment"), facts, inputs).solve().rows_per_group < 4


def test_what_is_missing_or_does_not_fit_is_one_clear_line(
    facts: Facts, batch: Batch, erm: Classifier, inputs: dict[str, Artefact], tmp_path: Path
) -> None:
    with torch.no_grad():
        columns = erm.predict_step(batch, 0)

    def wrong(match: str, **changed: Any) -> None:
        given = {role: found for role, found in {**inputs, **changed}.items() if found is not None}
        with pytest.raises(UserError, match=match):
            DFR(OPTIONS, facts, given).setup("fit")

    def table(name: str, drop: tuple[str, ...] = (), **options: Any) -> Artefact:
        return predictions(tmp_path / name, {k: v for k, v in columns.items() if k not in drop}, **options)

    wrong("needs `weights:`", weights=None)
    wrong("give the stage `needs: {features", features=None)
    wrong("predict on `val`", features=table("test", split="test"))
    wrong("are of two models", features=table("other", weights="amplifier"))
    wrong("`module: {features: true}`", features=table("plain", drop=("features",)))
    wrong("needs the true bias of validation rows", features=table("no_bias", drop=("bias", "group")))
    one = {name: values[: made.ROWS // 8] for name, values in columns.items()}
    with pytest.raises(DataError, match="no validation row with a known bias in class down"):
        DFR(OPTIONS, facts, {**inputs, "features": predictions(tmp_path / "one", one)}).solve()
