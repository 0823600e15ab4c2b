"""Heads equal what they stand for, choose by validation rows alone, and refuse rows that teach nothing."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.svm import SVC

from lab.data.batch import Batch
from lab.errors import DataError, KernelError, UserError
from lab.papers.features.data import FeatureBatch
from lab.papers.top_tuning import config
from lab.papers.top_tuning.exact import KernelRidgeHead, SvcHead
from lab.papers.top_tuning.falkon import FalkonHead
from lab.papers.top_tuning.head import Head
from lab.papers.top_tuning.linear import LogisticHead, RidgeHead
from lab.papers.top_tuning.probe import Probe
from lab.stages.artefact import Artefact

from .conftest import SIZES, facts_of, measured

Case = tuple[type[Head], Any]

FALKON = config.FalkonHeadConfig(M=[150], penalty=[1e-3, 1e-5])
KERNELS: dict[str, Case] = {
    "falkon": (FalkonHead, FALKON),
    "kernel_ridge": (KernelRidgeHead, config.KernelRidgeHeadConfig()),
    "svc": (SvcHead, config.SvcHeadConfig()),
}
LINEAR: dict[str, Case] = {
    "ridge": (RidgeHead, config.RidgeHeadConfig()),
    "logistic": (LogisticHead, config.LogisticHeadConfig()),
    "probe": (Probe, config.ProbeConfig(lr=0.05)),
}
ALL = {**KERNELS, **LINEAR}


def arrays(stages: dict[str, Artefact], *splits: str) -> tuple[np.ndarray, np.ndarray]:
    tables = [stages[split].table() for split in splits]
    features = np.concatenate([table["features"].double().numpy() for table in tables])
    return features, np.concatenate([table["label"].numpy() for table in tables])


def scores(head: Head, stages: dict[str, Artefact], split: str = "test") -> np.ndarray:
    with torch.no_grad():
        return head.scores(stages[split].table()["features"].float()).double().numpy()


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", KERNELS)
def test_kernels_learn_what_no_line_can(name, classes, stages, fitted, tmp_path) -> None:
    made = stages(classes)
    head, found, _ = fitted(*KERNELS[name], made)
    assert found["val/accuracy"] > 0.95
    assert measured(head, made, tmp_path)["test/accuracy"] > 0.95
    _, linear, _ = fitted(*LINEAR["ridge"], made)
    assert linear["val/accuracy"] < 0.75


@pytest.mark.parametrize("name", ALL)
def test_a_head_comes_back_from_its_weights(name, stages, fitted) -> None:
    made = stages()
    head, _, artefact = fitted(*ALL[name], made)
    again = ALL[name][0](ALL[name][1], head.facts, {"weights": artefact})
    again.load_state_dict(artefact.weights(), strict=True)
    assert np.allclose(scores(again.eval(), made), scores(head, made), atol=1e-5)


@pytest.mark.parametrize("name", ALL)
def test_probabilities_and_classes_agree(name, stages, fitted) -> None:
    made = stages()
    head, _, _ = fitted(*ALL[name], made)
    table = made["test"].table()
    rows = FeatureBatch(table["index"], table["features"], table["label"], torch.full_like(table["label"], -1))
    with torch.no_grad():
        found = head.predict_step(rows, 0)
    assert torch.allclose(found["probabilities"].sum(1), torch.ones(len(rows.label)), atol=1e-5)
    assert torch.equal(found["probabilities"].argmax(1), found["prediction"])
    assert np.array_equal(found["prediction"].numpy(), scores(head, made).argmax(1))


def test_kernel_ridge_is_that_of_scikit_learn(stages, fitted) -> None:
    made = stages()
    options = config.KernelRidgeHeadConfig(scaling="none", sigma=[1.0], penalty=[1e-3], refit=False)
    head, found, _ = fitted(KernelRidgeHead, options, made)
    x, y = arrays(made, "train")
    target = np.eye(3)[y]
    model = KernelRidge(alpha=len(x) * 1e-3, kernel="rbf", gamma=1 / (2 * found["val/sigma"] ** 2))
    expected = model.fit(x, target - target.mean(0)).predict(arrays(made, "test")[0]) + target.mean(0)
    assert np.allclose(scores(head, made), expected, atol=1e-6)


def test_falkon_with_all_rows_as_centres_is_exact_kernel_ridge(stages, fitted) -> None:
    made = stages()
    shared = {"sigma": [1.0], "penalty": [1e-4], "refit": False, "scaling": "zscore"}
    exact, _, _ = fitted(KernelRidgeHead, config.KernelRidgeHeadConfig(**shared), made)
    falkon, _, _ = fitted(FalkonHead, config.FalkonHeadConfig(**shared, M=[SIZES["train"]], maxiter=100), made)
    # The intercepts differ: here the best constant, there the mean of the classes.
    assert np.abs(scores(falkon, made) - scores(exact, made)).mean() < 0.03
    assert (scores(falkon, made).argmax(1) == scores(exact, made).argmax(1)).mean() > 0.97


@pytest.mark.parametrize("scaling", ["global", "zscore", "l2", "none"])
def test_falkon_sees_scaled_rows(scaling, stages, fitted) -> None:
    """Length scales are folded into sigma: kernel values are those between scaled rows."""
    made = stages()
    options = config.FalkonHeadConfig(scaling=scaling, sigma=[0.5], penalty=[1e-4], M=[50])
    head, found, _ = fitted(FalkonHead, options, made)
    x = made["test"].table()["features"][:20]
    (values,) = head.values(x, head.centres, head.sigma)
    centres = head.centres if scaling == "l2" else head.prepared(head.centres)
    squares = torch.cdist(head.prepared(x).double(), centres.double()).square()
    assert torch.allclose(values, (-squares / (2 * found["val/sigma"] ** 2)).exp(), atol=1e-4)


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_svc_is_that_of_scikit_learn(classes, stages, fitted) -> None:
    made = stages(classes)
    head, found, _ = fitted(SvcHead, config.SvcHeadConfig(scaling="none", sigma=[1.0], c=[10.0], refit=False), made)
    x, y = arrays(made, "train")
    model = SVC(C=10, gamma=1 / (2 * found["val/sigma"] ** 2)).fit(x, y)
    others = arrays(made, "test")[0]
    ours = scores(head, made)
    if classes > 2:
        assert np.allclose(ours, model.decision_function(others), atol=1e-3)
        assert (ours.argmax(1) == model.decision_function(others).argmax(1)).all()
    else:
        assert (ours.argmax(1) == model.predict(others)).all()


def test_ridge_is_that_of_scikit_learn(stages, fitted) -> None:
    made = stages()
    head, _, _ = fitted(RidgeHead, config.RidgeHeadConfig(scaling="none", penalty=[0.1]), made)
    x, y = arrays(made, "train", "val")
    expected = Ridge(alpha=0.1 * len(x)).fit(x, np.eye(3)[y]).predict(arrays(made, "test")[0])
    assert np.allclose(scores(head, made), expected, atol=1e-4)


@pytest.mark.parametrize("classes", [2, 3])
def test_logistic_regression_is_that_of_scikit_learn(classes, stages, fitted) -> None:
    made = stages(classes)
    options = config.LogisticHeadConfig(scaling="none", c=[1.0], refit=False, maxiter=2000)
    head, _, _ = fitted(LogisticHead, options, made)
    x, y = arrays(made, "train")
    model = LogisticRegression(C=1.0, max_iter=2000).fit(x, y)
    others = arrays(made, "test")[0]
    ours = torch.from_numpy(scores(head, made)).softmax(1).numpy()
    assert np.allclose(ours, model.predict_proba(others), atol=5e-3)


def test_the_probe_learns_by_steps(stages, fitted) -> None:
    made = stages()
    head, found, _ = fitted(Probe, config.ProbeConfig(lr=0.05), made)
    assert {"val/loss", "val/accuracy", "val/balanced_accuracy"} <= found.keys()
    x, _ = arrays(made, "train")
    assert np.allclose(head.centre, x.mean(0), atol=1e-4)


@pytest.mark.parametrize("refit", [False, True])
def test_what_is_logged_of_a_choice_is_held_out(refit, stages, fitted) -> None:
    """Of validation labels that are noise nothing can be right but by chance, also where they are fitted to at last."""
    made = stages()
    noise = torch.randint(0, 3, (SIZES["val"],), generator=torch.Generator().manual_seed(3))
    columns = made["val"].table() | {"label": noise}
    save_file({k: v.clone() for k, v in columns.items()}, made["val"].path / "table.safetensors")
    head, found, _ = fitted(KernelRidgeHead, config.KernelRidgeHeadConfig(penalty=[1e-9], refit=refit), made)
    assert found["val/accuracy"] < 0.6
    right = (scores(head, made, "val").argmax(1) == noise.numpy()).mean()
    assert right > 0.95 if refit else right < 0.6


def test_the_best_setting_on_validation_rows_is_kept(stages, fitted) -> None:
    made = stages()
    _, found, _ = fitted(FalkonHead, config.FalkonHeadConfig(sigma=[100.0, 0.3], penalty=[10.0, 1e-5], M=[100]), made)
    assert found["val/penalty"] == pytest.approx(1e-5)
    every = []
    for penalty in (10.0, 1e-5):
        for sigma in (100.0, 0.3):
            options = config.FalkonHeadConfig(sigma=[sigma], penalty=[penalty], M=[100])
            every.append(fitted(FalkonHead, options, made)[1]["val/accuracy"])
    assert found["val/accuracy"] == pytest.approx(max(every))


def test_half_precision_features(stages, fitted) -> None:
    made = stages(3, torch.float16)
    assert made["train"].table()["features"].dtype == torch.float16
    for name in ("falkon", "kernel_ridge"):
        assert fitted(*ALL[name], made)[1]["val/accuracy"] > 0.95
    assert fitted(*ALL["ridge"], made)[1]["val/accuracy"] < 0.75


def test_no_validation_rows(stages, fitted) -> None:
    made = {k: v for k, v in stages().items() if k != "val"}
    with pytest.raises(UserError, match=r"needs features of the val split; give `needs: \{val: …\}`"):
        fitted(*ALL["falkon"], made)


def test_a_class_without_training_rows(write, fitted) -> None:
    label = torch.arange(40) % 2
    made = {split: write(split, torch.randn(40, 3), label, 3) for split in ("train", "val")}
    with pytest.raises(DataError, match="no training row of class class2"):
        fitted(*ALL["falkon"], made)


def test_a_class_without_validation_rows_is_said_and_left_out(write, fitted, caplog) -> None:
    made = {
        "train": write("train", torch.randn(60, 3), torch.arange(60) % 3, 3),
        "val": write("val", torch.randn(40, 3), torch.arange(40) % 2, 3),
    }
    with caplog.at_level(logging.WARNING, logger="lab.papers.top_tuning.head"):
        fitted(FalkonHead, config.FalkonHeadConfig(sigma=[1.0], penalty=[1e-3]), made)
    assert "no validation row of class class2" in caplog.text


def test_labels_that_are_not_known(write, fitted) -> None:
    made = {split: write(split, torch.randn(40, 3), torch.full((40,), -1), 2) for split in ("train", "val")}
    with pytest.raises(DataError, match="40 training rows have no label"):
        fitted(*ALL["ridge"], made)


@pytest.mark.parametrize("name", ["kernel_ridge", "svc"])
def test_too_many_rows_for_an_exact_kernel(name, stages, fitted) -> None:
    cls, options = KERNELS[name]
    options = type(options)(memory="100KB")
    with pytest.raises(UserError, match=r"180 rows need 0\.0 GiB for exact kernel matrices.*enabled: false") as caught:
        fitted(cls, options, stages())
    assert len(str(caught.value).splitlines()) == 1


def test_images_need_a_backbone() -> None:
    head = FalkonHead(config.FalkonHeadConfig(), facts_of(2, SIZES))
    images = Batch(torch.arange(2), torch.rand(2, 3, 8, 8), torch.tensor([0, 1]), torch.tensor([-1, -1]))
    with pytest.raises(UserError, match="can't tell which backbone made its features"):
        head.logits(images)


@pytest.mark.skipif(find_spec("falkon") is not None, reason="the package falkon is installed")
def test_the_other_solver_is_not_installed(stages, fitted) -> None:
    with pytest.raises(KernelError, match="falkon, which isn't installed") as caught:
        fitted(FalkonHead, config.FalkonHeadConfig(solver="falkon"), stages())
    assert len(str(caught.value).splitlines()) == 1
