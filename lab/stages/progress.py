"""One line of progress with an estimate: rewritten in place on a terminal, now and then in a log file."""

from __future__ import annotations

import sys
import time
from typing import Any

import lightning.pytorch as L


class Progress(L.Callback):
    """`[3/12] synthetic: predict 45 %, 120/400 batches, 31.2/s, 0:09 left`."""

    def __init__(self, label: str, verb: str, *, quiet: bool = False):
        self.label, self.verb, self.quiet = label, verb, quiet
        self.live = sys.stderr.isatty()
        self.every = 0.2 if self.live else 20.0
        self._begun = self._shown = 0.0
        self._first = 0

    def _start(self, done: int) -> None:
        self._begun = self._shown = time.monotonic()
        self._first = done

    def _tick(self, done: int, total: float, unit: str, extra: str = "") -> None:
        moment = time.monotonic()
        if self.quiet or moment - self._shown < self.every:
            return
        self._shown = moment
        rate = (done - self._first) / max(moment - self._begun, 1e-9)
        left = f", {_clock((total - done) / rate)} left" if rate > 0 and total != float("inf") else ""
        share = f" {100 * done / total:.0f} %," if total and total != float("inf") else ""
        text = f"{self.label}: {self.verb}{share} {done}/{total:g} {unit}, {rate:.1f}/s{left}{extra}"
        print(f"\r\033[K{text}" if self.live else text, end="" if self.live else "\n", file=sys.stderr, flush=True)

    def _end(self) -> None:
        if self.live and not self.quiet:
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._start(trainer.global_step)

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        if self.quiet or time.monotonic() - self._shown < self.every:
            return
        loss = trainer.callback_metrics.get("train/loss")
        extra = f", loss {float(loss):.4f}" if loss is not None else ""
        self._tick(trainer.global_step, float(trainer.estimated_stepping_batches), "steps", extra)

    def on_train_end(self, *_: Any) -> None:
        self._end()

    def on_test_start(self, *_: Any) -> None:
        self._start(0)

    def on_predict_start(self, *_: Any) -> None:
        self._start(0)

    def on_test_batch_end(
        self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        self._tick(batch_idx + 1, float(sum(trainer.num_test_batches)), "batches")

    def on_predict_batch_end(
        self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        self._tick(batch_idx + 1, float(sum(trainer.num_predict_batches)), "batches")

    def on_test_end(self, *_: Any) -> None:
        self._end()

    def on_predict_end(self, *_: Any) -> None:
        self._end()


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
