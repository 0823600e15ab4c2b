"""Correctors and what is measured of them, the pairs of DIMA, and the choice of its noise level."""

from __future__ import annotations

import copy
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lab.data.module import Loading
from lab.errors import UserError
from lab.metrics.image_quality import per_image
from lab.mri.masks import bounding_box
from lab.networks.cyclegan import least_squares
from lab.papers.dima.choice import choose, distances
from lab.papers.mri.config import CorrectionConfig, SyntheticPairsConfig, UnpairedConfig
from lab.papers.mri.correction import Corrected, Rows
from lab.papers.mri.corrector import Uncorrected
from lab.papers.mri.pairs import SyntheticPairs
from lab.papers.mri.scores import summary_of_rows
from lab.papers.mri.unpaired import Unpaired


class Perfect(Uncorrected):
    """Gives the clean twin, whatever it is asked."""

    answer: torch.Tensor

    def correct(self, image, generators):
        return Corrected(self.answer, torch.ones_like(self.answer) * torch.rand(self.answer.shape))


def measured(module, batch):
    """Columns and metrics of a test on one batch."""
    module._trainer = SimpleNamespace(datamodule=SimpleNamespace(eval_split="test"), training=False)
    logged = {}
    module.log_dict = lambda values, **_: logged.update(values)
    module.test_step(batch, 0)
    module.on_test_epoch_end()
    return module.tested, {name.removeprefix("test/"): value for name, value in logged.items()}


def test_no_correction_gains_nothing_and_changes_nothing(facts, batch):
    rows, metrics = measured(Uncorrected(CorrectionConfig(), facts), batch)
    expected = per_image(batch.image, batch.target, bounding_box(batch.mask > 0))
    assert torch.allclose(rows["psnr"], expected[:, 0])
    assert metrics["psnr"] == pytest.approx(float(expected[:, 0].mean()), rel=1e-6)
    assert metrics["psnr_std"] == pytest.approx(float(expected[:, 0].view(2, 2).mean(1).std()), rel=1e-4)
    assert metrics["psnr_gain"] == 0
    assert metrics["round_trip_psnr"] == 100
    assert metrics["invented_lesions"] == 0
    assert metrics["harmful"] == 0
    assert 0.3 < metrics["retained"] < 1.2  # of a lesion that moved
    assert (metrics["subjects"], metrics["slices"]) == (2, 4)


def test_a_perfect_corrector_and_pictures_of_it(facts, batch):
    module = Perfect(CorrectionConfig(), facts)
    module.answer = batch.target
    _, metrics = measured(module, batch)
    assert metrics["psnr"] == 100
    assert metrics["nmse"] == 0
    assert metrics["psnr_gain_low"] > 50
    assert metrics["retained"] == pytest.approx(0)  # it always gives the same
    assert -0.2 < metrics["spread"] < 0.7
    summary = module.summarise_test()
    assert summary.pictures["corrections.png"].dtype == np.uint8
    assert set(summary.table) >= {"index", "subject", "psnr", "input_psnr", "retained"}


def columns(psnr, before, ssim=(0.9,) * 4, before_ssim=(0.8,) * 4, **more):
    """Rows of two subjects."""
    made = {"index": [0, 1, 2, 3], "subject": [0, 0, 0, 1], "psnr": psnr, "input_psnr": before}
    made |= {"ssim": ssim, "input_ssim": before_ssim, "ssim_uniform": ssim, "nmse": (0.1,) * 4, **more}
    return {name: torch.tensor(values) for name, values in made.items()}


def test_subjects_count_alike_and_harm_is_found():
    rows = columns(
        (30.0, 20.0, 22.0, 40.0),
        (25.0, 25.0, 25.0, 41.0),
        ssim=(0.9, 0.8, 0.9, 0.9),
        retained=(1.0, 1.0, 0.4, 1.0),
    )
    found = summary_of_rows(rows)
    assert found["psnr"] == pytest.approx((24 + 40) / 2)
    assert found["psnr_gain"] == pytest.approx(-1)
    assert found["harmful"] == 0.5  # slice 1: PSNR down, SSIM not up; slice 2: lesion lost; slice 3: SSIM rose
    rival = columns((20.0, 20.0, 20.0, 30.0), (25.0,) * 4)
    assert summary_of_rows(rows, rival)["psnr_over_rival"] == pytest.approx((4 + 10) / 2)
    with pytest.raises(UserError, match="on other rows"):
        summary_of_rows(rows, {**rival, "index": torch.tensor([0, 1, 2, 9])})


def test_slices_without_brain_are_left_out():
    rows = columns((30.0, math.nan, 30.0, 30.0), (25.0, math.nan, 25.0, 25.0))
    assert summary_of_rows(rows)["slices"] == 3
    assert summary_of_rows(rows)["psnr_gain"] == 5


def test_rows_come_in_order_whatever_the_devices():
    rows = Rows()
    rows.update(torch.tensor([[2.0, 5.0], [0.0, 1.0]]))
    rows.update(torch.tensor([[1.0, 7.0]]))
    assert rows.compute()[:, 1].tolist() == [1.0, 7.0, 5.0]


def test_synthetic_pairs_hold_out_subjects_and_count_every_draw(facts):
    n, draws = 12, 3
    table = {
        "image": torch.arange(n * draws, dtype=torch.float16).view(n, draws, 1, 1).expand(n, draws, 4, 4) / 100,
        "target": torch.arange(n, dtype=torch.float16).view(n, 1, 1).expand(n, 4, 4) / 10,
        "mask": torch.ones(n, 4, 4, dtype=torch.uint8),
        "subject": torch.arange(n) // 3,
        "number": torch.arange(n),
        "plane": torch.zeros(n, dtype=torch.long),
        "spacing": torch.ones(n, 2),
    }
    source = SimpleNamespace(table=lambda: table, facts=lambda: facts)
    data = SyntheticPairs(SyntheticPairsConfig(val_fraction=0.25), Loading(), {"pairs": source})
    assert data.facts.sizes == {"train": 27, "val": 9}
    train, val = (data.rows(split)[list(range(len(data.rows(split))))] for split in ("train", "val"))
    assert not set(train.subject.tolist()) & set(val.subject.tolist())
    slices = (train.target[:, 0, 0, 0] * 10).round()
    assert torch.allclose((train.image[:, 0, 0, 0] * 100).round() // draws, slices, atol=0.1)
    assert len({round(float(v), 3) for v in train.image[:, 0, 0, 0]}) == 27
    assert (
        len(SyntheticPairs(SyntheticPairsConfig(draws=1, val_fraction=0.25), Loading(), {"pairs": source}).rows("val"))
        == 3
    )
    with pytest.raises(UserError, match="can't be held out"):
        SyntheticPairs(SyntheticPairsConfig(val_fraction=0.01), Loading(), {"pairs": source})


def test_the_noise_level_is_that_of_the_affected_slices_scores():
    affected = np.random.default_rng(0).normal(2.0, 0.5, (500, 1))
    drawn = np.stack([np.full((20, 1), value) for value in (1.0, 1.9, 3.0)], axis=1)
    apart = distances(affected, drawn)
    assert apart == pytest.approx([2, 0.2, 2], abs=0.15)
    assert choose(apart, np.array([0.99, 0.97, 0.8]), 0.95) == 1
    assert choose(apart, np.array([0.99, 0.9, 0.8]), 0.95) == 0  # too much of the anatomy would go
    assert choose(apart, np.array([0.7, 0.9, 0.8]), 0.95) == 1


@pytest.fixture
def unpaired(facts):
    torch.manual_seed(0)
    module = Unpaired(UnpairedConfig(width=8, blocks=1, critic=(8, 8), pool=2), facts)
    module._trainer = SimpleNamespace(
        world_size=1, global_step=0, training=True, datamodule=SimpleNamespace(local_rows=slice(None), global_rows=4)
    )
    module.log_dict = lambda *_, **__: None
    module.all_gather = lambda data: data
    return module


def test_one_backward_pass_gives_the_gradients_of_cyclegans_two(unpaired, batch):
    unpaired.training_step(batch, 0).backward()
    config, other = unpaired.config, copy.deepcopy(unpaired)
    other.zero_grad()
    affected, clean = batch.image * 2 - 1, batch.target * 2 - 1
    made_clean, made_affected = other.clean(affected), other.affected(clean)
    l1 = torch.nn.functional.l1_loss
    generator = least_squares(other.critics["clean"](made_clean), True)
    generator = generator + least_squares(other.critics["affected"](made_affected), True)
    generator = generator + config.cycle * (
        l1(other.affected(made_clean), affected) + l1(other.clean(made_affected), clean)
    )
    same = l1(other.clean(clean), clean) + l1(other.affected(affected), affected)
    (generator + config.cycle * config.identity * same).backward()
    for ours, theirs in zip(unpaired.clean.parameters(), other.clean.parameters(), strict=True):
        assert torch.allclose(ours.grad, theirs.grad, atol=1e-5)
    other.zero_grad()
    # The pool holds two: the first two images are new, the others may be earlier ones. Judge what it gave, again.
    unpaired.pooled.zero_()
    earlier = unpaired._from_pool(torch.stack([made_clean, made_affected], 1).detach())
    judged = 0.5 * least_squares(other.critics["clean"](clean), True)
    judged = judged + 0.5 * least_squares(other.critics["clean"](earlier[:, 0]), False)
    judged.backward()
    pairs = zip(unpaired.critics["clean"].parameters(), other.critics["clean"].parameters(), strict=True)
    assert all(torch.allclose(ours.grad, theirs.grad, atol=1e-5) for ours, theirs in pairs)


def test_the_pool_gives_earlier_images_and_goes_into_checkpoints(unpaired):
    made = torch.arange(4.0).view(4, 1, 1, 1, 1).expand(4, 2, 1, 32, 32)
    given = unpaired._from_pool(made)
    assert given[:2, :, 0, 0, 0].tolist() == [[0, 0], [1, 1]]
    assert set(given.unique().tolist()) <= {0.0, 1.0, 2.0, 3.0}
    kept: dict[str, object] = {}
    unpaired.on_save_checkpoint(kept)
    pool = unpaired.pool.clone()
    unpaired.pool.zero_()
    unpaired.on_load_checkpoint(kept)
    assert torch.equal(unpaired.pool, pool)
    assert "pool" not in unpaired.state_dict()
