"""The debiasing modules in a real Trainer, on a few coloured squares."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torchmetrics import Metric

from lab.data.base import Facts
from lab.data.batch import Batch
from lab.data.signals import SignalTable
from lab.errors import DataError, UserError
from lab.networks.backbones import build_classifier
from lab.papers.debiasing import config as c
from lab.papers.debiasing import objectives
from lab.papers.debiasing.bias_oracle import BiasOracle
from lab.papers.debiasing.classifier import Classifier
from lab.papers.debiasing.group_dro import GroupDRO
from lab.papers.debiasing.jtt import JTT
from lab.papers.debiasing.lff import LfF
from lab.papers.debiasing.reweighted import Reweighted
from lab.stages.artefact import Artefact

from . import conftest as made

Signal = Callable[..., Artefact]
MODULES: list[tuple[type[Classifier], c.ClassifierConfig]] = [
    (Classifier, c.ClassifierConfig(loss="gce", augment="crop_flip")),
    (GroupDRO, c.GroupDROConfig(groups="attribute")),
    (GroupDRO, c.GroupDROConfig(groups="alignment", adjustment=1.0)),
    (GroupDRO, c.GroupDROConfig(groups="signal")),
    (Reweighted, c.ReweightedConfig(normalise_batch_mean_to_1=True)),
    (LfF, c.LfFConfig()),
    (JTT, c.JTTConfig()),
]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def build(cls: type[Classifier], options: c.ClassifierConfig, facts: Facts, **inputs: Artefact) -> Classifier:
    return cls(replace(options, network=made.small_network()), facts, inputs)


def rows_for(module: Classifier, batch: Batch) -> made.Rows:
    return made.Rows(batch, module.sampling_weights(batch.label, batch.group))


@pytest.mark.parametrize(("cls", "options"), MODULES, ids=lambda value: getattr(value, "__name__", ""))
def test_fit_validate_test_and_predict(
    cls: type[Classifier], options: c.ClassifierConfig, facts: Facts, batch: Batch, signal: Signal
) -> None:
    module = build(cls, options, facts, signal=signal())
    before = {name: value.clone() for name, value in module.named_parameters()}
    trainer = made.trainer()
    trainer.fit(module, datamodule=rows_for(module, batch))
    assert all(not torch.equal(value, before[name]) for name, value in module.named_parameters())  # DDP needs all
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    assert {"train/loss", "train/accuracy", "val/loss", "val/worst_group_accuracy", "val/group/1_0"} <= set(metrics)
    assert np.isfinite(list(metrics.values())).all()

    # weights go to a module without a signal, whose data are others
    other = build(cls, options, replace(facts, sizes={"test": 5}))
    other.load_state_dict(module.state_dict(), strict=True)
    (tested,) = made.trainer().test(other, datamodule=made.Rows(batch), verbose=False)
    assert tested["test/rows"] == made.ROWS
    for name, value in tested.items():
        assert metrics[name.replace("test/", "val/")] == pytest.approx(value)

    parts = made.trainer().predict(other, datamodule=made.Rows(batch))
    table = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}  # type: ignore[union-attr,index]
    columns = SignalTable.from_columns(table)
    found = other.summarise(table, []).metrics
    assert torch.equal(columns.bias, batch.group % 2)  # type: ignore[arg-type]
    assert found["accuracy"] == pytest.approx(tested["test/accuracy"])
    assert found["worst_group_accuracy"] == pytest.approx(tested["test/worst_group_accuracy"])
    assert columns.loss.mean().item() == pytest.approx(tested["test/loss"], rel=1e-5)
    assert {"precision", "recall", "f1", "loss_auc"} <= set(found)


def test_plain_training_is_a_plain_loop(facts: Facts, batch: Batch) -> None:
    options = c.ClassifierConfig(optimizer="sgd", lr=0.1, weight_decay=0.01, schedule="cosine", warmup=0.5)
    module = build(Classifier, options, facts)
    network = build_classifier(made.small_network(), 2)
    network.load_state_dict(module.network.state_dict())
    data = made.Rows(batch)
    made.trainer(limit_val_batches=0).fit(module, datamodule=data)
    optimizer = torch.optim.SGD(network.parameters(), momentum=0.9, weight_decay=0.01)
    for rate, part in zip((0.05, 0.1, 0.1), data.train_dataloader(), strict=True):
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        F.cross_entropy(network(part.image), part.label).backward()
        optimizer.step()
    for own, expected in zip(module.network.parameters(), network.parameters(), strict=True):
        assert torch.allclose(own, expected, atol=1e-6)


def test_group_balanced_weights_are_those_of_the_groups(facts: Facts, batch: Batch, signal: Signal) -> None:
    for groups in ("attribute", "alignment", "signal"):
        options = c.GroupDROConfig(groups=groups)
        weights = build(GroupDRO, options, facts, signal=signal()).sampling_weights(batch.label, batch.group)
        assert weights is not None
        expected = 1 / torch.bincount(batch.group)[batch.group].double()
        assert torch.allclose(weights, expected)  # a model that sees the colour alone finds the true groups
        plain = build(GroupDRO, c.GroupDROConfig(groups=groups, balanced=False), facts, signal=signal())
        assert plain.sampling_weights(batch.label, batch.group) is None


def test_group_dro_moves_q_as_its_objective_does(facts: Facts, batch: Batch, signal: Signal) -> None:
    options = c.GroupDROConfig(groups="signal", eta=0.5, optimizer="sgd", lr=0.1, momentum=0.0, weight_decay=0.0)
    module = build(GroupDRO, options, facts, signal=signal())
    assert isinstance(module, GroupDRO)
    network = build_classifier(made.small_network(), 2)
    network.load_state_dict(module.network.state_dict())
    data = rows_for(module, batch)
    made.trainer(limit_val_batches=0).fit(module, datamodule=data)
    group = 2 * batch.label + (batch.group % 2 != batch.label).long()
    dro = objectives.GroupDRO(torch.bincount(group), 0.5)
    for part in data.train_dataloader():
        network.zero_grad()
        dro(F.cross_entropy(network(part.image), part.label, reduction="none"), group[part.index]).backward()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter -= 0.1 * parameter.grad  # type: ignore[operator]
    assert torch.allclose(module.dro.q, dro.q, atol=1e-6)
    assert torch.allclose(module.network.head.weight, network.head.weight, atol=1e-6)  # type: ignore[arg-type]


def test_the_filter_decides_the_pseudo_groups_and_their_quality_is_logged(
    facts: Facts, batch: Batch, signal: Signal
) -> None:
    trainer = made.trainer()
    module = build(GroupDRO, c.GroupDROConfig(), facts, signal=signal(mistakes=8))
    trainer.fit(module, datamodule=rows_for(module, batch))
    assert trainer.callback_metrics["val/pseudo_recall"] == 1
    assert trainer.callback_metrics["val/pseudo_precision"] == 0.5
    assert trainer.callback_metrics["val/pseudo_smallest_group"] == 7
    strict = build(GroupDRO, c.GroupDROConfig(filter="mean_std", filter_gamma=1.0), facts, signal=signal(mistakes=8))
    assert isinstance(strict, GroupDRO)
    assert torch.equal(strict.flagged, batch.group % 2 != batch.label)


def test_an_amplifier_without_errors_leaves_classes_as_groups(facts: Facts, batch: Batch, signal: Signal) -> None:
    module = build(GroupDRO, c.GroupDROConfig(), facts, signal=signal(prediction=batch.label))
    assert isinstance(module, GroupDRO)
    assert module.counts.tolist() == [24, 0, 24, 0]
    made.trainer().fit(module, datamodule=rows_for(module, batch))
    assert module.dro.q[[1, 3]].tolist() == [0, 0]


def test_jtt_draws_errors_more_often(facts: Facts, batch: Batch, signal: Signal) -> None:
    weights = build(JTT, c.JTTConfig(upweight=5), facts, signal=signal()).sampling_weights(batch.label, batch.group)
    assert weights is not None
    assert weights.tolist() == [5.0 if row % 6 == 0 else 1.0 for row in range(made.ROWS)]


def test_reweighted_starts_from_the_signal(facts: Facts, batch: Batch, signal: Signal) -> None:
    module = build(Reweighted, c.ReweightedConfig(), facts, signal=signal())
    assert isinstance(module, Reweighted)
    trainer = made.trainer()
    trainer.fit(module, datamodule=rows_for(module, batch))
    conflicting = batch.group % 2 != batch.label
    assert torch.allclose(module.biased_loss[conflicting], torch.ones(8))  # the hardest of their class
    assert module.biased_loss[~conflicting].max() < 0.02
    assert (module.own.label == batch.label).all()  # one epoch visited all rows
    assert 0.1 <= trainer.callback_metrics["train/weight"] <= 1


@pytest.mark.parametrize(
    ("cls", "options"),
    [(GroupDRO, c.GroupDROConfig(eta=1.0)), (Reweighted, c.ReweightedConfig()), (LfF, c.LfFConfig())],
)
def test_training_goes_on_from_a_checkpoint_as_if_never_stopped(
    cls: type[Classifier], options: c.ClassifierConfig, facts: Facts, batch: Batch, signal: Signal, tmp_path: Path
) -> None:
    source = signal()

    def fit(epochs: int, start: Path | None = None) -> Classifier:
        torch.manual_seed(1)
        module = build(cls, options, facts, signal=source)
        trainer = made.trainer(epochs, limit_val_batches=0)
        trainer.fit(module, datamodule=made.Rows(batch), ckpt_path=start, weights_only=True)
        trainer.save_checkpoint(tmp_path / f"{epochs}.ckpt")
        return module

    fit(1)
    resumed = fit(2, tmp_path / "1.ckpt")
    whole = fit(2)
    for name, value in whole.named_buffers():
        assert torch.equal(resumed.get_buffer(name), value), name
    for own, expected in zip(resumed.parameters(), whole.parameters(), strict=True):
        assert torch.equal(own, expected)


def test_pseudo_groups_of_validation_rows_need_no_bias_labels(facts: Facts, batch: Batch, signal: Signal) -> None:
    module = build(Classifier, c.ClassifierConfig(), facts, val_signal=signal())
    trainer = made.trainer()
    unknown = batch._replace(group=torch.full_like(batch.group, -1))
    trainer.fit(module, datamodule=made.Rows(unknown))
    assert "val/worst_group_accuracy" not in trainer.callback_metrics
    assert 0 <= trainer.callback_metrics["val/pseudo_worst_group_accuracy"] <= 1


def test_whole_tables_are_not_gathered_from_other_devices(
    facts: Facts, signal: Signal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gather(self: Metric, *_: Any, should_sync: bool = True, **__: Any) -> None:
        assert not should_sync  # only one process summarises: the others would never come

    monkeypatch.setattr(Metric, "sync", gather)
    source = signal()
    module = build(GroupDRO, c.GroupDROConfig(), facts, signal=source)
    assert isinstance(module, GroupDRO)
    assert module.summarise(source.table(), []).metrics["conflicting_accuracy"] == 0
    assert module.pseudo_groups()["f1"] == 1


def test_real_images_are_brought_to_the_size_of_synthetic_ones(facts: Facts) -> None:
    module = build(Classifier, c.ClassifierConfig(resize_down=16), facts)
    assert module.views(torch.rand(2, 3, 40, 40)).shape == (2, 3, 16, 16)
    assert module.views(torch.rand(2, 3, 16, 16)).shape == (2, 3, 16, 16)
    assert module.views(torch.rand(2, 3, 8, 8)).shape == (2, 3, 8, 8)


def test_predict_takes_rows_without_labels_and_stores_features(facts: Facts, batch: Batch) -> None:
    module = build(Classifier, c.ClassifierConfig(features=True), facts).eval()
    with torch.no_grad():
        columns = module.predict_step(batch._replace(label=torch.full_like(batch.label, -1)), 0)
        assert torch.equal(columns["features"], module.network.features(batch.image))
    assert columns["loss"].tolist() == [0] * made.ROWS
    assert module.summarise(columns, []).metrics == {}


def test_what_is_missing_or_does_not_fit_is_one_clear_line(facts: Facts, batch: Batch, signal: Signal) -> None:
    def weights(cls: type[Classifier], options: c.ClassifierConfig, facts: Facts = facts, **inputs: Any) -> None:
        build(cls, options, facts, **inputs).sampling_weights(batch.label, batch.group)

    for cls, options in ((GroupDRO, c.GroupDROConfig()), (JTT, c.JTTConfig()), (Reweighted, c.ReweightedConfig())):
        with pytest.raises(UserError, match="give the stage `needs:"):
            weights(cls, options)
        with pytest.raises(DataError, match="made on other data"):
            weights(cls, options, signal=signal(label=1 - batch.label))
    with pytest.raises(DataError, match="LfF: signal table: its labels"):
        weights(LfF, c.LfFConfig(), signal=signal(label=1 - batch.label))
    short = replace(facts, sizes={**facts.sizes, "train": 5})
    for cls, options in ((LfF, c.LfFConfig()), (Reweighted, c.ReweightedConfig())):
        with pytest.raises(UserError, match="48 rows and 2 classes, the training split 5 and 2"):
            made.trainer().fit(build(cls, options, short, signal=signal()), datamodule=made.Rows(batch))
    unknown = replace(facts, group_counts=np.zeros(4, dtype=int))
    with pytest.raises(UserError, match="attribute: needs the true bias of every training row"):
        weights(GroupDRO, c.GroupDROConfig(groups="attribute"), unknown)
    for cls, options in ((GroupDRO, c.GroupDROConfig(groups="attribute")), (LfF, c.LfFConfig())):
        module = build(cls, options, facts)
        with pytest.raises(UserError, match=r"set trainer\.accumulate=1"):
            made.trainer(accumulate_grad_batches=2).fit(module, datamodule=made.Rows(batch))


def test_pretrained_weights_are_left_where_a_stage_gives_its_own(facts: Facts, signal: Signal) -> None:
    options = c.ClassifierConfig()
    options.network.arch, options.network.weights = "resnet18", "nowhere/weights.pth"
    with pytest.raises(UserError, match=r"no file nowhere/weights\.pth"):
        Classifier(options, facts)
    Classifier(options, facts, {"weights": signal()})


def test_lff_with_a_given_signal_is_recipe_two_without_a_floor(facts: Facts, batch: Batch, signal: Signal) -> None:
    """The frozen biased model replaces the network that LfF would train, and nothing else."""
    source = signal()
    plugged = build(LfF, c.LfFConfig(), facts, signal=source)
    recipe = build(Reweighted, c.ReweightedConfig(w_min=0.0), facts, signal=source)
    recipe.load_state_dict(plugged.state_dict(), strict=True)  # one network
    for module in (plugged, recipe):
        made.trainer(2, limit_val_batches=0).fit(module, datamodule=rows_for(module, batch))
    for own, expected in zip(plugged.parameters(), recipe.parameters(), strict=True):
        assert torch.allclose(own, expected, atol=1e-6)

    tested = build(LfF, c.LfFConfig(), facts)  # as in a test stage, which knows the weights alone
    tested.load_state_dict(plugged.state_dict(), strict=True)
    assert torch.equal(tested(batch.image), plugged(batch.image))
    assert len(build(LfF, c.LfFConfig(), facts).state_dict()) == 2 * len(plugged.state_dict())
    with pytest.raises(UserError, match=r"give the stage `needs: \{signal"):
        made.trainer().fit(tested, datamodule=made.Rows(batch))  # a warm start from them needs the signal again


def test_the_oracles_signal_tells_the_true_groups(facts: Facts, batch: Batch, signal: Signal) -> None:
    oracle = BiasOracle(c.BiasOracleConfig(confidence=0.9), facts)
    columns = oracle.predict_step(batch, 0)
    table = SignalTable.from_columns(columns)
    conflicting = batch.group % 2 != batch.label
    assert torch.equal(table.prediction, batch.group % 2)
    expected = torch.where(conflicting, 0.1, 0.9).log()
    assert torch.allclose(table.loss, -expected)
    assert oracle.summarise(columns, []).metrics["f1"] == 1

    made_of = {name: columns[name] for name in ("prediction", "probabilities", "loss")}
    given = build(GroupDRO, c.GroupDROConfig(groups="signal"), facts, signal=signal(**made_of))
    known = build(GroupDRO, c.GroupDROConfig(groups="alignment"), facts)
    assert isinstance(given, GroupDRO) and isinstance(known, GroupDRO)
    assert torch.equal(given.group_of, known.group_of[batch.group])
    assert torch.equal(given.counts, known.counts)


def test_the_oracle_where_biases_and_classes_are_not_paired(facts: Facts, batch: Batch) -> None:
    """Bias 0 goes with classes 0 and 1, bias 1 with class 1, bias 2 with none."""
    aligned = np.array([[True, False, False], [True, True, False], [False, False, False]])
    odd = replace(facts, class_names=("a", "b", "c"), bias_names=("x", "y", "z"), aligned=aligned)
    label, bias = torch.tensor([0, 1, 2, 0, 1, 2, 2]), torch.tensor([0, 0, 0, 1, 1, 1, 2])
    rows = Batch(torch.arange(7), batch.image[:7], label, 3 * label + bias)
    found = BiasOracle(c.BiasOracleConfig(), odd).predict_step(rows, 0)
    assert found["prediction"].tolist() == [0, 1, 0, 1, 1, 1, 0]
    assert torch.equal(found["prediction"] == label, torch.as_tensor(aligned)[label, bias])
    for facts_, wrong in (
        (odd, rows._replace(group=torch.full((7,), -1))),
        (replace(facts, aligned=np.empty(0)), batch),
    ):
        with pytest.raises(UserError, match="bias_oracle: needs the true bias of every row"):
            BiasOracle(c.BiasOracleConfig(), facts_).predict_step(wrong, 0)
