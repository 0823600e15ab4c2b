"""DDB's diffusion stage and the sampling from it, on random images."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from lab.data.base import Facts, ImageSet, Split
from lab.data.batch import Batch
from lab.data.module import ImageRows, LabDataModule, Loading, Request
from lab.diffusion.config import UNetConfig
from lab.errors import UserError
from lab.papers.ddb.config import DiffusionConfig, SamplerConfig
from lab.papers.ddb.diffusion import DiffusionModule, lr_factor
from lab.papers.ddb.sampler import SamplerModule, alignment, class_grid
from lab.stages.artefact import Artefact

FACTS = Facts(
    class_names=("disc", "square"),
    bias_names=("red", "green"),
    aligned=np.eye(2, dtype=bool),
    image_shape=(3, 8, 8),
    sizes={"train": 24, "val": 10, "test": 0},
    label_counts=np.array([12, 12]),
    group_counts=np.array([6, 6, 6, 6]),
)
UNET = UNetConfig(widths=(8, 16), attn_resolutions=(4,), head_dim=8)


class RandomImages(LabDataModule):
    def __init__(self, loading: Loading):
        super().__init__(None, loading)
        self.facts = FACTS
        draw = np.random.default_rng(0)
        self._rows = {
            name: ImageRows(
                ImageSet(
                    draw.integers(0, 256, (size, 8, 8, 3), dtype=np.uint8), np.arange(size) % 2, np.full(size, -1), ()
                ),
                2,
            )
            for name, size in FACTS.sizes.items()
        }

    def rows(self, split: Split) -> ImageRows:
        return self._rows[split]

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return batch._replace(image=batch.image.float() / 255) if isinstance(batch, Batch) else batch


def build(**options: Any) -> DiffusionModule:
    torch.manual_seed(0)
    config = DiffusionConfig(**{"unet": UNET, "timesteps": 50, "lr": 1e-3, "ema": 0.9, **options})
    assert list(config.check()) == []
    return DiffusionModule(config, FACTS)


def fit(module: DiffusionModule, *, accumulate: int = 1, steps: int = 4, eval_batch_size: int = 4) -> L.Trainer:
    trainer = L.Trainer(
        accelerator="cpu",
        max_steps=steps,
        accumulate_grad_batches=accumulate,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        log_every_n_steps=1,
    )
    loading = Loading(batch_size=8, accumulate=accumulate, eval_batch_size=eval_batch_size)
    trainer.fit(module, datamodule=RandomImages(loading))
    return trainer


@pytest.mark.parametrize("published", [False, True])
def test_a_divided_batch_gives_the_same_training(published: bool) -> None:
    whole, divided = build(published=published, label_drop=0.5), build(published=published, label_drop=0.5)
    fit(whole, accumulate=1)
    fit(divided, accumulate=4)
    # What the networks say, not their weights: Adam makes a step of the rounding error of a gradient that is zero.
    asked = torch.randn(4, 3, 8, 8), torch.tensor([0, 10, 30, 49]), torch.tensor([0, 1, 2, 0])
    for ema in (True, False):
        said, says = (module.eval().network(ema)(*asked).sample for module in (whole, divided))
        torch.testing.assert_close(says, said, rtol=1e-3, atol=1e-4)
    assert not torch.allclose(said, build(published=published).eval().unet(*asked).sample)


def test_losses_are_logged_and_validation_repeats() -> None:
    module = build()
    trainer = fit(module, steps=3)
    first = trainer.callback_metrics["val/loss"]
    assert 0.2 < float(first) < 3 and float(trainer.callback_metrics["train/loss"]) > 0
    quiet = L.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_checkpointing=False)
    for eval_batch_size in (4, 3, 10):
        data = RandomImages(Loading(eval_batch_size=eval_batch_size))
        data.eval_split = "val"
        again = quiet.validate(module, data, verbose=False)[0]
        assert again["val/loss"] == pytest.approx(float(first), rel=1e-5), "every image counts once, whatever the batch"


def test_averaged_weights_follow_optimiser_steps_alone() -> None:
    module = build()
    fit(module, accumulate=2, steps=3)
    assert module.ema is not None and int(module.ema.n_averaged) == 3
    assert module.network() is module.ema.module and module.network(ema=False) is module.unet
    assert any(
        not torch.equal(a, b) for a, b in zip(module.network().parameters(), module.unet.parameters(), strict=True)
    )
    without = build(ema=None)
    assert without.network() is without.unet and not any(key.startswith("ema") for key in without.state_dict())


def test_weights_are_plain_tensors_that_do_not_share_memory() -> None:
    module = build()
    restored = build()
    restored.load_state_dict(load(save(module.state_dict())), strict=True)
    pointers = [value.data_ptr() for value in module.state_dict().values()]
    assert len(set(pointers)) == len(pointers)


def test_optimiser_leaves_averaged_weights_alone() -> None:
    module = build()
    fit(module, steps=1)
    optimizer = module.optimizers(use_pl_optimizer=False)
    owned = {id(p) for group in optimizer.param_groups for p in group["params"]}  # type: ignore[union-attr]
    assert owned == {id(p) for p in module.unet.parameters()}
    assert {p.requires_grad for p in module.network().parameters()} == {False}


def test_learning_rate_rises_then_falls_along_a_cosine() -> None:
    curve = [lr_factor(step, total=100, warmup=0.1) for step in range(100)]
    assert curve[:10] == pytest.approx([0.1 * k for k in range(1, 11)])
    assert curve[55] == pytest.approx(0.5) and curve[-1] == pytest.approx(0.5 * (1 + math.cos(math.pi * 89 / 90)))
    published = [lr_factor(step, total=100, warmup=0.1, published=True) for step in range(100)]
    assert published[0] == pytest.approx(1.15) and max(published) == published[9] == pytest.approx(2.5)
    assert published[55] == pytest.approx(1.25)


@pytest.mark.parametrize("total", [1, 2, 3])
def test_learning_rate_of_tiny_runs_is_positive(total: int) -> None:
    assert all(0 < lr_factor(step, total=total, warmup=0.1) <= 1 for step in range(total))


@pytest.mark.parametrize(
    "change",
    [
        {"timesteps": 1},
        {"beta_end": 0.3, "timesteps": 200},
        {"label_drop": 1.5},
        {"lr": 0.0},
        {"weight_decay": -1.0},
        {"warmup": 1.0},
        {"ema": 1.0},
    ],
)
def test_broken_options_are_named(change: dict[str, Any]) -> None:
    assert [field for field, _ in DiffusionConfig(**change).check()] == [next(iter(change))]


def test_broken_sampler_options_are_named() -> None:
    assert [field for field, _ in SamplerConfig(steps=0, guidance_scale=-1.0).check()] == ["steps", "guidance_scale"]


def test_an_image_size_that_does_not_fit_is_a_user_error() -> None:
    with pytest.raises(UserError, match="8x8 can't be halved 4 times"):
        build(unet=UNetConfig(widths=(8,) * 5, head_dim=8))


@pytest.fixture
def diffusion(monkeypatch: pytest.MonkeyPatch) -> DiffusionModule:
    module = build(ema=None).eval()
    monkeypatch.setattr("lab.stages.load.load_module", lambda artefact, facts=None: module)
    return module


def sampler(facts: Facts = FACTS, **options: Any) -> SamplerModule:
    return SamplerModule(SamplerConfig(**{"steps": 3, **options}), facts, {"weights": Artefact(Path("nowhere"))}).eval()


def test_samples_depend_on_their_row_and_seed_alone(diffusion: DiffusionModule) -> None:
    module = sampler()
    request = Request(torch.arange(4), torch.tensor([0, 1, 0, 1]))
    together = module.predict_step(request, 0)
    assert together["image"].dtype == torch.uint8 and together["image"].shape == (4, 3, 8, 8)
    assert torch.equal(together["index"], request.index) and torch.equal(together["label"], request.label)
    for row in range(4):
        alone = module.predict_step(Request(request.index[row : row + 1], request.label[row : row + 1]), row)["image"]
        assert (alone[0].int() - together["image"][row].int()).abs().max() <= 1
    module.seed = 1
    assert not torch.equal(module.predict_step(request, 0)["image"], together["image"])


def test_weights_of_the_diffusion_module_fit_the_sampler(diffusion: DiffusionModule) -> None:
    sampler().load_state_dict(diffusion.state_dict(), strict=True)


def test_sampler_errors_name_what_is_missing(diffusion: DiffusionModule, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="needs `weights:`"):
        SamplerModule(SamplerConfig(), FACTS)
    with pytest.raises(UserError, match=r"1\.\.50"):
        sampler(steps=51)
    monkeypatch.setattr("lab.stages.load.load_module", lambda artefact, facts=None: L.LightningModule())
    with pytest.raises(UserError, match="not a diffusion model"):
        sampler()


def test_summary_counts_aligned_images_and_draws_them(diffusion: DiffusionModule) -> None:
    table = {
        "index": torch.arange(4),
        "label": torch.tensor([0, 1, 0, 1]),
        "image": torch.zeros(4, 3, 8, 8, dtype=torch.uint8),
    }
    module = sampler()
    assert module.summarise(table, []).metrics == {}
    module.read_bias = lambda images: np.array([0, 1, 1, -1])
    summary = module.summarise(table, [])
    assert summary.metrics == {
        "aligned_share": 0.5,
        "unreadable_share": 0.25,
        "aligned_share/disc": 0.5,
        "aligned_share/square": 0.5,
    }
    assert summary.pictures["samples.png"].shape == (2 * 66 + 2, 2 * 66 + 2, 3)


def test_grid_places_classes_in_rows() -> None:
    images = np.stack([np.full((64, 64, 1), value, np.uint8) for value in (10, 20, 30)])
    grid = class_grid(images, np.array([1, 0, 1]), classes=2)
    assert grid.shape == (134, 134, 3) and grid.dtype == np.uint8
    assert [grid[30, 30, 0], grid[30, 100, 0], grid[100, 30, 0], grid[100, 100, 0]] == [20, 255, 10, 30]


def test_alignment_without_a_class() -> None:
    assert "aligned_share/square" not in alignment(np.array([0]), np.array([0]), FACTS)
