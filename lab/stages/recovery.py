"""The framework's callbacks of a fit: curves, selection of weights, recovery checkpoints, and stopping."""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import torch
from safetensors.torch import save_file
from torch import Tensor

from lab.config.schema import TrainerConfig
from lab.errors import Interrupted, StageFailed
from lab.stages.artefact import CURVES
from lab.stages.files import disk_errors, flush, write_atomically
from lab.stages.interruption import STOP
from lab.stages.seeds import derive
from lab.stages.world import World, agree_any

RECOVERY = "recovery.ckpt"
AGREE_EVERY = 8
"""Optimiser steps between two agreements of the ranks on stopping or saving."""


class Curves(L.Callback):
    """Writes `train/…` every `log_every` steps and `val/…` after each validation to `curves.csv` (step, name, value).

    The file's length is part of the recovery checkpoint, so that a resumed run continues the same curve.
    """

    def __init__(self, folder: Path, every: int, world: World):
        self.path, self.every, self.world = folder / CURVES, every, world
        self.length = 0

    def state_dict(self) -> dict[str, Any]:
        return {"length": self.length}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.length = state_dict["length"]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.world.is_first:
            with self.path.open("ab") as handle:
                handle.truncate(self.length)

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        stepped = (trainer.fit_loop.epoch_loop.batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if stepped and trainer.global_step % self.every == 0:
            self._write(trainer, "train/")

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.sanity_checking:
            self._write(trainer, "val/")

    def _write(self, trainer: L.Trainer, prefix: str) -> None:
        values = {name: value for name, value in trainer.callback_metrics.items() if name.startswith(prefix)}
        if not self.world.is_first or not values:
            return
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        if self.length == 0:
            rows.writerow(("step", "name", "value"))
        rows.writerows((trainer.global_step, name, repr(float(value))) for name, value in values.items())
        with disk_errors("curves", self.path.parent), self.path.open("ab") as handle:
            handle.write(text.getvalue().encode())
            self.length = handle.tell()


class Selection(L.Callback):
    """Keeps the weights that the stage hands on, and stops a fit that no longer improves. Sees validation alone."""

    def __init__(self, folder: Path, trainer: TrainerConfig, world: World):
        self.folder, self.config, self.world = folder, trainer, world
        self.best: float | None = None
        self.best_step = 0
        self.metrics: dict[str, float] = {}
        self.without_gain = 0
        self._protected: Path | None = None

    def state_dict(self) -> dict[str, Any]:
        return {
            "best": self.best,
            "best_step": self.best_step,
            "metrics": self.metrics,
            "without_gain": self.without_gain,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for name, value in state_dict.items():
            setattr(self, name, value)

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        # The last durable recovery checkpoint may still point to the file it protects; older ones nobody needs.
        if self.world.is_first:
            for path in self.folder.glob("best-*.safetensors"):
                if path not in (self.best_weights, self._protected):
                    path.unlink()
        self._protected = self.best_weights

    @property
    def best_weights(self) -> Path:
        return self.folder / f"best-{self.best_step}.safetensors"

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.sanity_checking:
            return
        found = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
        if self.config.select == "last":
            self.metrics = found
        monitor = self.config.monitor
        if monitor is None:
            return
        if monitor not in found:
            raise StageFailed(f"monitor '{monitor}' is not among the validation metrics: {', '.join(sorted(found))}")
        sign = 1 if self.config.mode == "max" else -1
        if self.best is None or sign * found[monitor] > sign * self.best:
            self.best, self.best_step, self.without_gain = found[monitor], trainer.global_step, 0
            if self.config.select == "best":
                self.metrics = found
                if self.world.is_first:
                    save_weights(self.best_weights, pl_module)
        else:
            self.without_gain += 1
        if self.config.patience is not None and self.without_gain > self.config.patience:
            trainer.should_stop = True


class Recovery(L.Callback):
    """Saves everything needed to go on, at most every `recovery_seconds`, and stops where that was asked for.

    Inside an epoch the checkpoint is taken after an optimiser step; at its end, after validation.
    """

    def __init__(self, folder: Path, config: TrainerConfig, stage: str, key: str, world: World):
        self.path = folder / RECOVERY
        self.every, self.stage, self.key, self.world = config.recovery_seconds, stage, key, world
        self.saved_step = 0
        self._saved_at = time.monotonic()

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        STOP.listen()
        self.saved_step = trainer.global_step
        self._saved_at = time.monotonic()

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["lab"] = {"stage": self.stage, "key": self.key}

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loop = trainer.fit_loop.epoch_loop
        if (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        due = self.every == 0 or time.monotonic() - self._saved_at >= self.every
        on_cpu = pl_module.device.type == "cpu"
        if on_cpu or due or trainer.global_step % 50 == 0:
            self._insist_on_finite(trainer, outputs)
        if not loop.batch_progress.is_last_batch:  # the end of an epoch has its own place below
            self._save_or_stop(trainer, due)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._save_or_stop(trainer, self.every == 0 or time.monotonic() - self._saved_at >= self.every, agree=True)

    def _save_or_stop(self, trainer: L.Trainer, due: bool, agree: bool = False) -> None:
        wish = 2 * STOP.signum + due
        if self.world.size > 1:
            if not agree and trainer.global_step % AGREE_EVERY:
                return
            wish = agree_any(wish, self.world)
        if wish:
            self._save(trainer)
        if wish >= 2:
            raise Interrupted(wish // 2, f"stopped in stage '{self.stage}' at step {trainer.global_step}; "
                              "the same command goes on from there")

    def _save(self, trainer: L.Trainer) -> None:
        draft = self.path.with_suffix(".draft")
        with disk_errors("a recovery checkpoint", self.path.parent):
            try:
                trainer.save_checkpoint(draft)  # on all ranks; the first one writes
                if self.world.is_first:
                    flush(draft)
                    draft.replace(self.path)
                    flush(self.path.parent)
            except OSError:
                draft.unlink(missing_ok=True)
                raise
        self.saved_step = trainer.global_step
        self._saved_at = time.monotonic()

    def _insist_on_finite(self, trainer: L.Trainer, outputs: Any) -> None:
        loss = outputs["loss"] if isinstance(outputs, Mapping) else outputs
        if isinstance(loss, Tensor) and not math.isfinite(loss.item()):
            good = f"the last good checkpoint is of step {self.saved_step}" if self.path.exists() else "no checkpoint yet"
            raise StageFailed(
                f"stage '{self.stage}': the loss is {loss.item()} at step {trainer.global_step} ({good}); "
                "try a smaller lr, trainer.gradient_clip or trainer.precision=32"
            )


class Reseed(L.Callback):
    """Makes the global generators (dropout) a function of the seed, the batch and the rank, so that resuming is exact."""

    def __init__(self, seed: int, world: World):
        self.seed, self.world = seed, world

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        torch.manual_seed(derive(self.seed, "global", trainer.fit_loop.epoch_loop.total_batch_idx, self.world.rank))


class StopBetweenBatches(L.Callback):
    """Stops validate, test and predict after the batch in which that was asked for."""

    def __init__(self, stage: str):
        self.stage = stage

    def on_test_start(self, *_: Any) -> None:
        STOP.listen()

    on_predict_start = on_validation_start = on_test_start

    def on_test_batch_end(self, *_: Any) -> None:
        if STOP.signum:
            raise Interrupted(STOP.signum, f"stopped in stage '{self.stage}'; the same command goes on from there")

    on_predict_batch_end = on_test_batch_end

    def on_validation_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        if not trainer.fit_loop.restarting and trainer.state.fn != "fit":
            self.on_test_batch_end()


def save_weights(path: Path, module: torch.nn.Module) -> None:
    """State dict as safetensors, on the CPU, each tensor with its own storage."""
    state = {name: value.detach().cpu().contiguous().clone() for name, value in module.state_dict().items()}
    with disk_errors("weights", path.parent):
        write_atomically(path, lambda draft: save_file(state, draft))
