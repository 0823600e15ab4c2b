"""Captions as a predict stage (steps B1 and B2 of SaMyNa)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lab.config.fields import as_plain, named_files
from lab.data.base import Facts
from lab.data.batch import Batch
from lab.data.signals import SignalTable
from lab.errors import UserError
from lab.papers.samyna.captioners import Asked, build_captioner
from lab.papers.samyna.config import CaptionerConfig, CaptionsConfig
from lab.papers.samyna.pictures import contact_sheet
from lab.papers.samyna.subsets import FALSE_POSITIVE, NONE, TRUE_POSITIVE, representatives
from lab.papers.samyna.texts import pack, unpack
from lab.stages.artefact import Artefact
from lab.stages.module import StageModule, Summary

WIDTH = 512
"""Bytes of a caption that are kept."""
POOLS = {"true positives": TRUE_POSITIVE, "false positives": FALSE_POSITIVE}


class Captions(StageModule):
    """Describes the representatives of the pools of each class, or every image (`rows: all`).

    `needs: {signal: …}`: the predictions of the biased model on the same split, with features (`features: true`).
    Columns: `index`, `label`, `prediction`, `pool` (see `lab.papers.samyna.subsets`; 0 without a signal) and `caption`
    (UTF-8, see `lab.papers.samyna.texts`; empty where none was asked for).

    Captions of models are kept under `cache/captions` by the hash of the image's pixels.
    """

    config: CaptionsConfig

    def __init__(self, config: CaptionsConfig, facts: Facts, inputs: Mapping[str, Artefact] | None = None):
        super().__init__(config, facts, inputs)
        if "signal" not in self.inputs and config.rows == "selected":
            raise UserError("samyna/captions: needs the predictions of a biased model; give `needs: {signal: …}`")
        self.captioner = build_captioner(config.captioner, facts)

    @cached_property
    def signal(self) -> SignalTable | None:
        if "signal" not in self.inputs:
            return None
        signal = SignalTable.from_columns(self.inputs["signal"].table(), "signal table 'signal'")
        if signal.num_classes != self.facts.num_classes:
            raise UserError(f"samyna/captions: the signal has {signal.num_classes} classes, the data "
                            f"{self.facts.num_classes}")  # fmt: skip
        return signal

    @cached_property
    def pools(self) -> Tensor | None:
        """Pool (n,) of each row; None without a signal."""
        signal = self.signal
        if signal is None:
            return None
        if signal.features is None:
            raise UserError("samyna/captions: the signal has no features; give the biased model `features: true`")
        config = self.config
        return representatives(signal.label, signal.prediction, signal.features, config.per_pool, config.most)

    @cached_property
    def cache(self) -> CaptionCache:
        return CaptionCache(self.trainer.datamodule.loading.cache, self.config.captioner)  # type: ignore[attr-defined]

    def on_predict_start(self) -> None:
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if self.signal is not None and len(self.signal) != data.facts.sizes[data.eval_split]:
            size = data.facts.sizes[data.eval_split]
            raise UserError(
                f"samyna/captions: the signal holds {len(self.signal)} rows, split '{data.eval_split}' {size}"
            )

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        rows = batch.index.cpu()
        pool = torch.zeros_like(rows) if self.pools is None else self.pools[rows]
        wanted = torch.ones_like(rows, dtype=torch.bool) if self.config.rows == "all" else pool != NONE
        texts = [""] * len(rows)
        places = wanted.nonzero().flatten().tolist()
        for place, text in zip(places, self._captions(batch, places), strict=True):
            texts[place] = text
        prediction = batch.label.clone() if self.signal is None else self.signal.prediction[rows]
        return {
            "index": batch.index,
            "label": batch.label,
            "prediction": prediction,
            "pool": pool,
            "caption": pack(texts, WIDTH),
        }

    def _captions(self, batch: Batch, places: list[int]) -> list[str]:
        """Captions of some rows of a batch, from the cache where they are there."""
        if not places:
            return []
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        names, texts = data.names(data.eval_split), data.descriptions(data.eval_split)
        biases = torch.where(batch.group < 0, -1, batch.group % max(self.facts.num_biases, 1))

        def ask(chosen: list[int]) -> list[str]:
            rows = torch.tensor(chosen, device=batch.index.device, dtype=torch.int64)
            known = [names[int(row)] if names else str(int(row)) for row in batch.index[rows]]
            labels, own = batch.label[rows].tolist(), biases[rows].tolist()
            said = [texts[int(row)] for row in batch.index[rows]] if texts else []
            return self.captioner.caption(Asked(batch.image[rows], known, labels, own, said)) if chosen else []

        if not self.captioner.cached:
            return ask(places)
        images = (batch.image[places] * 255).round().byte().cpu().numpy()
        hashes = [hashlib.sha256(str(image.shape).encode() + image.tobytes()).hexdigest() for image in images]
        found = {name: self.cache.get(name) for name in hashes}
        missing = [place for place, name in zip(places, hashes, strict=True) if found[name] is None]
        for place, text in zip(missing, ask(missing), strict=True):
            name = hashes[places.index(place)]
            self.cache.put(name, text)
            found[name] = text
        return [str(found[name]) for name in hashes]

    def summarise(self, table: Mapping[str, Tensor], names: Sequence[str]) -> Summary:
        """How much evidence there is, and a sheet of the representatives of each class: `CLASS.png`.

        Metrics: `captions`, and `true_positives/CLASS` and `false_positives/CLASS`, the images that were described.
        `weak_classes`: classes without a false positive.
        """
        metrics = {"captions": float((table["caption"][:, 0] > 0).sum())}
        if self.pools is None:
            return Summary(metrics)
        weak = 0
        for label, name in enumerate(self.facts.class_names):
            sizes = {kind: int(((table["prediction"] == label) & (table["pool"] == number)).sum())
                     for kind, number in POOLS.items()}  # fmt: skip
            weak += sizes["false positives"] == 0
            key = metric_name(name)
            metrics |= {f"{kind.replace(' ', '_')}/{key}": float(size) for kind, size in sizes.items()}
        return Summary({**metrics, "weak_classes": float(weak)}, self._sheets(table))

    def _sheets(self, table: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
        # Detached from a trainer where an earlier, interrupted run had finished all rows: no pictures then.
        if self._trainer is None or self.trainer.datamodule is None:  # type: ignore[attr-defined]
            return {}
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        rows = data.rows(data.eval_split)
        sheets = {}
        for label, name in enumerate(self.facts.class_names):
            own = table["prediction"] == label
            chosen = {kind: (own & (table["pool"] == number)).nonzero().flatten() for kind, number in POOLS.items()}
            shown = {}
            for kind, places in chosen.items():
                pixels = rows[places.tolist()].image.movedim(1, 3).numpy() if len(places) else None
                shown[kind] = (pixels, unpack(table["caption"][places]))
            sheets[f"{label:02d}_{metric_name(name)}.png"] = contact_sheet(f"predicted as {name}", shown)
        return sheets


class CaptionCache:
    """Captions of one captioner by image hash, a file each.

    folder: the store's cache. The captioner is known by its options, by the content of the files among them, and by
    names and sizes of the files of a model's folder.
    """

    def __init__(self, folder: Path, config: CaptionerConfig):
        model = Path(config.model or "").expanduser()
        parts = sorted((p.name, p.stat().st_size) for p in model.iterdir()) if config.model and model.is_dir() else []
        files = [hashlib.sha256(path.read_bytes()).hexdigest() for path in named_files(config)]
        who = json.dumps([as_plain(config), parts, files], sort_keys=True)
        self.folder = folder / "captions" / hashlib.sha256(who.encode()).hexdigest()[:16]
        self.folder.mkdir(parents=True, exist_ok=True)

    def get(self, image: str) -> str | None:
        path = self.folder / f"{image}.txt"
        return path.read_text(encoding="utf-8") if path.exists() else None

    def put(self, image: str, caption: str) -> None:
        draft = self.folder / f".{image}-{id(self)}"
        draft.write_text(caption, encoding="utf-8")
        draft.replace(self.folder / f"{image}.txt")


def metric_name(name: str) -> str:
    """A class's name as part of the name of a metric or file."""
    return "".join(c if c.isalnum() else "_" for c in name)
