"""MoDAD's stages in a real Trainer, on a few coloured squares."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sklearn import metrics as sklearn
from torch.nn import functional as F

from lab.data.base import Facts, ImageSet
from lab.data.batch import Batch
from lab.data.module import ImageRows
from lab.data.signals import SignalTable
from lab.errors import DataError, UserError
from lab.networks.backbones import build_classifier
from lab.papers.debiasing.config import GroupDROConfig, JTTConfig
from lab.papers.debiasing.group_dro import GroupDRO
from lab.papers.debiasing.jtt import JTT
from lab.papers.modad.anomaly import Anomaly
from lab.papers.modad.biased import Biased
from lab.papers.modad.config import AnomalyConfig, BiasedConfig, DebiasedConfig
from lab.papers.modad.debiased import Debiased
from lab.stages.artefact import TABLE, Artefact

from ..debiasing import conftest as made

Signal = Callable[..., Artefact]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def conflicting(batch: Batch) -> torch.Tensor:
    return batch.group % 2 != batch.label


def biased(facts: Facts, **options: Any) -> Biased:
    network = replace(made.small_network(), feature_dim=5)
    return Biased(BiasedConfig(network=network, **options), facts)


def test_the_biased_model_logs_what_it_has_memorised(facts: Facts, batch: Batch) -> None:
    module, trainer = biased(facts), made.trainer()
    trainer.fit(module, datamodule=made.Rows(batch))
    visits, found = module.visits, trainer.callback_metrics
    assert (visits.conflicting == conflicting(batch).long()).all()
    wrong = visits.wrong & conflicting(batch)
    assert float(found["val/memorisation_recall"]) == pytest.approx(float(wrong.sum() / conflicting(batch).sum()))
    auc = sklearn.roc_auc_score(conflicting(batch), visits.loss)
    assert float(found["val/memorisation_auc"]) == pytest.approx(auc, abs=1e-6)
    assert not any("visits" in name for name in module.state_dict())
    (tested,) = made.trainer().test(module, datamodule=made.Rows(batch), verbose=False)
    assert not any("memorisation" in name for name in tested)


def test_nothing_is_logged_where_the_bias_is_not_known(facts: Facts, batch: Batch) -> None:
    blind = replace(facts, bias_names=(), aligned=np.zeros((0, 0), dtype=bool), group_counts=np.zeros(2, dtype=int))
    for known in (facts, blind):
        trainer = made.trainer()
        trainer.fit(biased(known), datamodule=made.Rows(batch._replace(group=torch.full_like(batch.group, -1))))
        assert not any("memorisation" in name for name in trainer.callback_metrics)


def test_the_curve_goes_on_from_a_checkpoint(facts: Facts, batch: Batch, tmp_path: Path) -> None:
    def fit(epochs: int, start: Path | None = None) -> Biased:
        torch.manual_seed(1)
        module, trainer = biased(facts), made.trainer(epochs, limit_val_batches=0)
        trainer.fit(module, datamodule=made.Rows(batch), ckpt_path=start, weights_only=True)
        trainer.save_checkpoint(tmp_path / f"{epochs}.ckpt")
        return module

    fit(1)
    resumed, whole = fit(2, tmp_path / "1.ckpt"), fit(2)
    assert torch.equal(resumed.visits.loss, whole.visits.loss) and torch.equal(resumed.visits.wrong, whole.visits.wrong)


class Images(made.Rows):
    """With the rows by number, as lab data modules have them."""

    eval_split = "train"

    def rows(self, split: str) -> ImageRows:
        pixels = (self.batch.image.movedim(1, 3).numpy() * 100).astype(np.uint8)
        return ImageRows(ImageSet(pixels, self.batch.label.numpy(), (self.batch.group % 2).numpy(), ()), 2)


@pytest.fixture
def seen(batch: Batch, signal: Signal) -> Artefact:
    """The signal of a model that sees the colour alone, which has memorised two of the eight conflicting rows."""
    features = torch.rand(made.ROWS, 4, generator=torch.Generator().manual_seed(2))
    features[conflicting(batch)] += 2
    prediction = (batch.group % 2).clone()
    known = conflicting(batch).nonzero().flatten()[:2]
    prediction[known] = batch.label[known]
    return signal(features=features, prediction=prediction)


def anomaly(facts: Facts, batch: Batch, source: Artefact, **options: Any) -> tuple[Anomaly, dict[str, torch.Tensor]]:
    module = Anomaly(AnomalyConfig(**options), facts, {"signal": source})
    parts = made.trainer().predict(module, datamodule=Images(batch))
    return module, {name: torch.cat([part[name] for part in parts]) for name in parts[0]}  # type: ignore[union-attr,index]


def saved(table: dict[str, torch.Tensor], folder: Path) -> Artefact:
    folder.mkdir()
    save_file({name: value.contiguous() for name, value in table.items()}, folder / TABLE)
    return Artefact(folder)


def test_the_anomaly_stage_makes_a_signal_that_other_methods_read(
    facts: Facts, batch: Batch, seen: Artefact, tmp_path: Path
) -> None:
    module, table = anomaly(facts, batch, seen, threshold="fraction", fraction=1 / 6)
    flagged = table["flagged"] == 1
    signal = SignalTable.from_columns(table)
    assert torch.equal(signal.prediction != signal.label, flagged)
    assert torch.equal(signal.probabilities.argmax(1), signal.prediction)
    expected = F.nll_loss(signal.probabilities.log(), signal.label, reduction="none")
    assert torch.allclose(signal.loss, expected, atol=1e-5)
    source = saved(table, tmp_path / "table")
    dro = GroupDRO(GroupDROConfig(network=made.small_network()), facts, {"signal": source})
    assert torch.equal(dro.flagged, flagged)
    jtt = JTT(JTTConfig(network=made.small_network(), upweight=5), facts, {"signal": source})
    assert torch.equal(jtt.sampling_weights(batch.label, batch.group) == 5, flagged)

    summary = module.summarise(table, [])
    truth = conflicting(batch)
    assert summary.metrics == pytest.approx(
        {
            "flagged_share": float(flagged.float().mean()),
            "flagged": int(flagged.sum()),
            "conflicting": 8,
            "precision": sklearn.precision_score(truth, flagged),
            "recall": sklearn.recall_score(truth, flagged),
            "f1": sklearn.f1_score(truth, flagged),
            "score_auc": sklearn.roc_auc_score(truth, table["score"]),
            "score_average_precision": sklearn.average_precision_score(truth, table["score"]),
            "biased_loss_auc": sklearn.roc_auc_score(truth, table["biased_loss"]),
        },
        abs=1e-6,
    )
    for name in ("scores.png", "images.png"):
        picture = summary.pictures[name]
        assert picture.dtype == np.uint8 and picture.ndim == 3 and picture.std() > 0


def test_the_oracle_flags_the_truth_whatever_the_biased_model_says(facts: Facts, batch: Batch, seen: Artefact) -> None:
    _, table = anomaly(facts, batch, seen, oracle=True)
    assert torch.equal(table["flagged"] == 1, conflicting(batch))
    SignalTable.from_columns(table)


def test_rows_without_bias_labels_give_flags_and_pictures_alone(facts: Facts, batch: Batch, signal: Signal) -> None:
    unknown = torch.full_like(batch.group, -1)
    source = signal(features=torch.rand(made.ROWS, 4), bias=unknown, group=unknown)
    module, table = anomaly(facts, batch._replace(group=unknown), source)
    summary = module.summarise(table, [])
    assert set(summary.metrics) == {"flagged_share"} and len(summary.pictures) == 2
    with pytest.raises(UserError, match="oracle needs the true bias of every row"):
        anomaly(facts, batch, source, oracle=True)


def test_what_the_anomaly_stage_misses_is_one_clear_line(
    facts: Facts, batch: Batch, seen: Artefact, signal: Signal
) -> None:
    with pytest.raises(UserError, match="needs the features of a biased model"):
        Anomaly(AnomalyConfig(), facts)
    with pytest.raises(UserError, match="has no features"):
        anomaly(facts, batch, signal())
    with pytest.raises(DataError, match="made on other data"):
        anomaly(facts, batch._replace(label=1 - batch.label), seen)


def debiased(facts: Facts, source: Artefact, **options: Any) -> Debiased:
    plain = {"optimizer": "sgd", "lr": 0.1, "momentum": 0.0, "weight_decay": 0.0}
    return Debiased(DebiasedConfig(network=made.small_network(), **{**plain, **options}), facts, {"signal": source})


def test_flagged_rows_are_drawn_as_often_as_the_others(facts: Facts, batch: Batch, signal: Signal) -> None:
    source = signal(mistakes=3)  # 8 conflicting rows and 3 aligned ones of the first class
    flagged = SignalTable.from_columns(source.table()).prediction != batch.label
    for balance in ("global", "class"):
        weights = debiased(facts, source, balance=balance).sampling_weights(batch.label, batch.group)
        assert weights is not None
        share = weights / weights.sum()
        assert float(share[flagged].sum()) == pytest.approx(0.5)
        of_class = float(share[flagged & (batch.label == 0)].sum())
        assert of_class == pytest.approx(7 / 11 * 0.5 if balance == "global" else 0.25)
    nothing = debiased(facts, signal(prediction=batch.label))
    assert nothing.sampling_weights(batch.label, batch.group) is None


def plain_loop(network: torch.nn.Module, data: made.Rows, flagged: torch.Tensor) -> None:
    for part in data.train_dataloader():
        own = flagged[part.index]
        share = own.float().mean()
        loss = torch.where(own, share, 1 - share) * F.cross_entropy(network(part.image), part.label, reduction="none")
        network.zero_grad()
        loss.mean().backward()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter -= 0.1 * parameter.grad  # type: ignore[operator]


@pytest.mark.parametrize("found", [True, False])
def test_without_views_it_is_a_weighted_plain_loop(facts: Facts, batch: Batch, signal: Signal, found: bool) -> None:
    source = signal() if found else signal(prediction=batch.label)
    module = debiased(facts, source, views=[])
    network = build_classifier(made.small_network(), 2)
    network.load_state_dict(module.network.state_dict())
    data = made.Rows(batch, module.sampling_weights(batch.label, batch.group))
    made.trainer(limit_val_batches=0).fit(module, datamodule=data)
    plain_loop(network, data, conflicting(batch) & found)
    for own, expected in zip(module.network.parameters(), network.parameters(), strict=True):
        assert torch.allclose(own, expected, atol=1e-6)


@pytest.mark.parametrize("published", [False, True])
def test_views_are_of_flagged_rows_and_published_ones_share_a_draw(
    facts: Facts, batch: Batch, signal: Signal, published: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = debiased(facts, signal(), published=published)
    batches, drawn = [], []
    network, further = module.network.forward, module.further_views

    def spy(images: torch.Tensor) -> torch.Tensor:
        batches.append(len(images))
        return network(images)

    def draws(images: torch.Tensor, flagged: torch.Tensor) -> list[torch.Tensor]:
        made_of_same = further(images[flagged][:1].expand_as(images), flagged)
        drawn.append((int(flagged.sum()), made_of_same))
        return further(images, flagged)

    monkeypatch.setattr(module.network, "forward", spy)
    monkeypatch.setattr(module, "further_views", draws)
    made.trainer(limit_val_batches=0).fit(
        module, datamodule=made.Rows(batch, module.sampling_weights(batch.label, batch.group))
    )
    assert batches == [made.BATCH + 3 * flagged for flagged, _ in drawn]
    assert all(len(views) == 3 for _, views in drawn)
    for count, (turned, _, zoomed) in drawn:
        assert count > 1
        # of one image: the same view for all rows where the draw is shared
        assert torch.allclose(turned, turned[:1].expand_as(turned), atol=1e-5) == published
        assert torch.allclose(zoomed, zoomed[:1].expand_as(zoomed), atol=1e-5)


def test_grey_images_are_shown_as_published_too(facts: Facts, batch: Batch, signal: Signal) -> None:
    grey = batch._replace(image=batch.image.mean(1, keepdim=True))
    for published in (False, True):
        module = debiased(replace(facts, image_shape=(1, made.SIDE, made.SIDE)), signal(), published=published)
        made.trainer(limit_val_batches=0).fit(module, datamodule=made.Rows(grey))


def test_a_signal_of_other_rows_is_refused(facts: Facts, batch: Batch, signal: Signal) -> None:
    with pytest.raises(DataError, match="holds 48 rows"):
        debiased(facts, signal()).sampling_weights(batch.label[:40], batch.group[:40])
    other = debiased(replace(facts, sizes={"train": 40}), signal())
    with pytest.raises(UserError, match="the training split 40"):
        made.trainer().fit(other, datamodule=made.Rows(batch))
