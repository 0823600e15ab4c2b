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
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from safetensors.torch import save_file
from torch import Tensor

from lab.config.schema import TrainerConfig
from lab.errors import StageFailed, UserError
from lab.stages.artefact import CURVES
from lab.stages.files import disk_errors, flush, write_atomically
from lab.stages.interruption import STOP, stopped
from lab.stages.loggers import StageLoggers
from lab.stages.seeds import derive
from lab.stages.world import World, agree, agree_any

RECOVERY = "recovery.ckpt"
AGREE_EVERY = 8
"""Optimiser steps between two agreements of the ranks on stopping or saving."""
NEVER = 2**62
"""Later than any step."""


class Curves(L.Callback):
    """Writes `train/…` every `log_every` steps and `val/…` after each validation to `curves.csv` (step, name, value),
    and tells the loggers the same.

    The file's length is part of the recovery checkpoint, so that a resumed run continues the same curve.
    """

    def __init__(self, folder: Path, every: int, world: World, loggers: StageLoggers):
        self.path, self.every, self.world, self.loggers = folder / CURVES, every, world, loggers
        self.length = 0

    def state_dict(self) -> dict[str, Any]:
        return {"length": self.length}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.length = state_dict["length"]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.world.is_first:
            with self.path.open("a+b") as handle:
                handle.seek(self.length)
                lost = handle.read().decode(errors="replace")
                handle.truncate(self.length)
            rows = [row for row in csv.reader(io.StringIO(lost)) if len(row) == 3 and row[0].isdigit()]
            self.loggers.begin(trainer.global_step, {(int(step), name) for step, name, _ in rows})

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        if self.world.is_first:
            flush(self.path)  # the checkpoint's length must never be more than the disk has
            self.loggers.flush()

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
        numbers = {name: float(value) for name, value in values.items()}
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        if self.length == 0:
            rows.writerow(("step", "name", "value"))
        rows.writerows((trainer.global_step, name, repr(value)) for name, value in numbers.items())
        with disk_errors("curves", self.path.parent), self.path.open("ab") as handle:
            handle.write(text.getvalue().encode())
            self.length = handle.tell()
        self.loggers.log(numbers, trainer.global_step)


class Selection(L.Callback):
    """Keeps the weights that the stage hands on, and stops a fit that no longer improves. Sees validation alone."""

    def __init__(self, folder: Path, trainer: TrainerConfig, stage: str, world: World):
        self.folder, self.config, self.stage, self.world = folder, trainer, stage, world
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
        self._protected = self.best_weights

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        trainer.should_stop = trainer.should_stop or self._out_of_patience  # a run that was killed after it had stopped

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

    @property
    def _out_of_patience(self) -> bool:
        return self.config.patience is not None and self.without_gain >= max(self.config.patience, 1)

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        # A fit that ends inside an epoch is validated, too: Lightning does so for one that was told to stop.
        if trainer.global_step == self.config.max_steps:
            trainer.should_stop = True

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        values = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
        found = agree(values, self.world)  # else a metric that was not reduced could stop one rank alone
        if self.config.select == "last":
            self.metrics = found
        monitor = self.config.monitor
        if monitor is None:
            return
        if monitor not in found:
            known = ", ".join(sorted(found)) or "there are none"
            raise StageFailed(f"stage '{self.stage}': monitor '{monitor}' is no validation metric; known: {known}")
        sign = 1 if self.config.mode == "max" else -1
        if self.best is None or math.isnan(self.best) or sign * found[monitor] > sign * self.best:
            self.best, self.best_step, self.without_gain = found[monitor], trainer.global_step, 0
            if self.config.select == "best":
                self.metrics = found
                if self.world.is_first:
                    save_weights(self.best_weights, pl_module)
        else:
            self.without_gain += 1
        trainer.should_stop = trainer.should_stop or self._out_of_patience


class Recovery(Checkpoint):
    """Saves everything needed to go on, at most every `recovery_seconds`, and stops where that was asked for.

    Inside an epoch the checkpoint is taken after an optimiser step; at its end, after validation and the module's own
    hooks (which is what Lightning's `Checkpoint` means). What has diverged is never saved.
    """

    def __init__(self, folder: Path, config: TrainerConfig, stage: str, key: str, world: World):
        self.path = folder / RECOVERY
        self.every, self.stage, self.key, self.world = config.recovery_seconds, stage, key, world
        self.saved_step = 0
        self._saved_at = time.monotonic()
        self._loss: Tensor | None = None
        self._alarm = 0
        """0, or NEVER minus the step at which this rank found its loss or weights not finite."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        STOP.listen()
        self.saved_step = trainer.global_step
        self._saved_at = time.monotonic()

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["lab"] = {"stage": self.stage, "key": self.key}

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        self._loss = loss if isinstance(loss, Tensor) else None
        # Reading a number off a GPU waits for it; there it is done now and then, and before saving.
        if self._loss is not None and (self._loss.device.type == "cpu" or trainer.global_step % 50 == 0):
            self._watch(trainer, self._loss)
        ends = trainer.fit_loop.epoch_loop.batch_progress.is_last_batch or trainer.should_stop
        if not ends and (self.world.size == 1 or trainer.global_step % AGREE_EVERY == 0):
            self._save_or_stop(trainer, pl_module)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._save_or_stop(trainer, pl_module)

    def _save_or_stop(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Called on all ranks at the same step."""
        due = self.every == 0 or time.monotonic() - self._saved_at >= self.every
        wish = agree_any(2 * STOP.signum + due, self.world)
        if wish:
            self._watch(trainer, *(() if self._loss is None else (self._loss,)), *module.parameters())
        if alarm := agree_any(self._alarm, self.world):
            good = f"last good checkpoint: step {self.saved_step}" if self.path.exists() else "no checkpoint yet"
            raise StageFailed(
                f"stage '{self.stage}': loss or weights are not finite (NaN) at step {NEVER - alarm} ({good}); "
                "try a smaller lr, trainer.gradient_clip or trainer.precision=32"
            )
        if wish:
            with disk_errors("a recovery checkpoint", self.path.parent):
                trainer.save_checkpoint(self.path)  # on all ranks; the first one writes
            self.saved_step = trainer.global_step
            self._saved_at = time.monotonic()
        if wish >= 2:
            raise stopped(wish // 2, f"in stage '{self.stage}' at step {trainer.global_step}")

    def _watch(self, trainer: L.Trainer, *tensors: Tensor) -> None:
        if not self._alarm and not all(bool(tensor.isfinite().all()) for tensor in tensors):
            self._alarm = NEVER - trainer.global_step


class CheckpointFile(TorchCheckpointIO):
    """Writes a checkpoint beside its place and renames it; Lightning's way needs a copy in memory and one in /tmp."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        def write(draft: Path) -> None:
            with draft.open("wb") as handle:
                torch.save(checkpoint, handle)

        write_atomically(Path(path), write)


def recovery_checkpoint(folder: Path, stage: str, key: str) -> Path | None:
    """The recovery checkpoint that an interrupted run left in a working folder.

    Raises:
        UserError: it can't be read, or another stage left it.
    """
    path = folder / RECOVERY
    if not path.exists():
        return None
    try:
        content = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
        owner = content.get("lab", {})
    except Exception as error:  # of many types: pickle, zip archive, file system
        problem = f"can't be read ({str(error).splitlines()[0] if str(error) else type(error).__name__})"
    else:
        if owner.get("key") == key:
            return path
        problem = f"is of another stage: '{owner.get('stage', 'unknown')}' with key {owner.get('key', 'unknown')}"
    raise UserError(
        f"stage '{stage}' (key {key}): its recovery checkpoint {path} {problem}; "
        "delete that file and run the same command again to train this stage from its start"
    )


class Reseed(L.Callback):
    """Makes the global generators (dropout) a function of seed, batch and rank, so that resuming is exact."""

    def __init__(self, seed: int, world: World):
        self.seed, self.world = seed, world

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        seed = derive(self.seed, "global", trainer.fit_loop.epoch_loop.total_batch_idx, self.world.rank)
        # Not torch.manual_seed: for each kind of accelerator that is not in use, it queues a call and a stack trace for
        # later, which costs half a millisecond and some kilobytes at every step.
        torch.default_generator.manual_seed(seed)
        if pl_module.device.type == "cuda":
            torch.cuda.manual_seed(seed)


class StopBetweenBatches(L.Callback):
    """Stops validate, test and predict after the batch in which that was asked for."""

    def __init__(self, stage: str):
        self.stage = stage

    def on_validation_start(self, *_: Any) -> None:
        STOP.listen()

    def on_test_start(self, *_: Any) -> None:
        STOP.listen()

    def on_predict_start(self, *_: Any) -> None:
        STOP.listen()

    def on_validation_batch_end(self, *_: Any) -> None:
        STOP.obey(f"in stage '{self.stage}'")

    def on_test_batch_end(self, *_: Any) -> None:
        STOP.obey(f"in stage '{self.stage}'")

    def on_predict_batch_end(self, *_: Any) -> None:
        STOP.obey(f"in stage '{self.stage}'")


def save_weights(path: Path, module: torch.nn.Module) -> None:
    """State dict as safetensors, on the CPU, each tensor with its own storage."""
    state = {name: value.detach().cpu().contiguous().clone() for name, value in module.state_dict().items()}
    with disk_errors("weights", path.parent):
        write_atomically(path, lambda draft: save_file(state, draft))
