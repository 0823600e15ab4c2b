"""A bias audit: a trained model and a labelled folder in; suspicious images, named biases and a page for people out."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from lab.config.schema import Experiment
from lab.data.base import Facts, ImageSet
from lab.data.files import Resize
from lab.data.module import Loading
from lab.data.signals import SignalTable
from lab.errors import UserError
from lab.papers.debiasing.classifier import Classifier
from lab.papers.samyna.captioners import Asked, Captioner
from lab.papers.samyna.config import CaptionsConfig, NamingConfig
from lab.papers.samyna.encoders import TextEncoder
from lab.papers.samyna.naming import Pools, Word, name_bias
from lab.papers.samyna.pictures import contact_sheet, word_chart
from lab.papers.samyna.subsets import FALSE_POSITIVE, NONE, TRUE_POSITIVE, representatives
from lab.stages.apply import Collected, FolderImages, resize_of
from lab.stages.execute import set_threads
from lab.stages.files import write_atomically
from lab.stages.graph import runs_dir
from lab.stages.load import load_module
from lab.stages.process import quiet_lightning
from lab.stages.progress import Progress
from lab.stages.record import run_artefact
from lab.stages.runner import make_trainer
from lab.stages.store import Store
from lab.stages.world import World

SUSPICIOUS, WANTED, NAMES, PAGE = "suspicious.csv", "captions.csv", "names.csv", "audit.html"
SHOWN = 24
"""Suspicious images on the page; the table has all."""


@dataclass(frozen=True)
class Row:
    """One image: its file, the class its folder says, the class the model says, and how much the model disagrees."""

    place: int
    file: str
    label: str
    prediction: str
    loss: float
    p_label: float
    p_prediction: float


@dataclass(frozen=True)
class Findings:
    """What an audit found. pools (n,): see `lab.papers.samyna.subsets`; captions by place; words None without any."""

    facts: Facts
    signal: SignalTable
    rows: list[Row]
    pools: torch.Tensor
    captions: dict[int, str]
    words: list[list[Word]] | None

    def places(self, label: int, kind: int) -> list[int]:
        """The representatives of a pool of a class."""
        return ((self.signal.prediction == label) & (self.pools == kind)).nonzero().flatten().tolist()

    @property
    def wrong(self) -> list[Row]:
        return [row for row in self.rows if row.label != row.prediction]


class LabelledImages(FolderImages):
    """Images in one folder a class.

    Raises:
        UserError: a folder is not named as a class of the model.
    """

    def __init__(self, folder: Path, facts: Facts, loading: Loading, resize: Resize = "squeeze"):
        super().__init__(folder, facts, loading, resize)
        known = {name.lower(): label for label, name in enumerate(facts.class_names)}
        folders = [Path(name).parts[0].lower() if len(Path(name).parts) > 1 else "" for name in self.images.names]
        for name, found in zip(self.images.names, folders, strict=True):
            if found not in known:
                raise UserError(
                    f"--input {folder}: '{name}' is in no folder of a class; put the images of each class into a "
                    f"folder of its name: {', '.join(facts.class_names)}"
                )
        labels = np.array([known[found] for found in folders], dtype=np.int64)
        self.images = ImageSet(self.images.images, labels, np.full(len(labels), -1), self.images.names)


def audit_folder(
    run: Path,
    experiment: Experiment,
    folder: Path,
    output: Path,
    captioner: Captioner | None,
    encoder: TextEncoder,
    *,
    stage: str | None = None,
) -> str:
    """Write into `output`: `suspicious.csv` (every image, those the model disagrees with most first), `captions.csv`
    (the images that stand for what the model calls each class, with their captions), `names.csv` (the ranked words) and
    `audit.html`. Without a captioner the captions are left empty, to be filled in and handed back; nothing is named.

    Returns a line for the user.

    Raises:
        UserError: no such folder or model, a folder that is no class, a captioner that lacks an image.
    """
    if not folder.is_dir():
        raise UserError(f"--input {folder}: no such folder")
    model = stage or (experiment.predict.model if experiment.predict else None)
    if model is None:
        raise UserError(f"{experiment.name} doesn't say which model predicts: give --stage NAME")
    trainer = experiment.trainer
    set_threads(trainer, World())
    facts = run_artefact(run, model).facts()
    cache = Store(runs_dir(experiment)).cache
    loading = Loading(eval_batch_size=trainer.eval_batch_size, workers=trainer.workers, cache=cache)
    data = LabelledImages(folder, facts, loading, resize_of(run_artefact(run, model)))
    found = _look(data, _signal(run, model, data, experiment), captioner, encoder)
    output.mkdir(parents=True, exist_ok=True)
    table = [[r.file, r.label, r.prediction, f"{r.loss:.4f}", f"{r.p_label:.6f}", f"{r.p_prediction:.6f}"]
             for r in found.rows]  # fmt: skip
    _csv(output / SUSPICIOUS, ["file", "class", "prediction", "loss", "p(class)", "p(prediction)"], table)
    described = [[data.images.names[place], caption] for place, caption in found.captions.items()]
    _csv(output / WANTED, ["image", "caption"], described)
    if found.words is not None:
        header = ["class", "word", "score", "share of right", "share of wrong", "about", "verdict"]
        pairs = zip(facts.class_names, found.words, strict=True)
        _csv(output / NAMES, header, [_name_row(name, word) for name, ranked in pairs for word in ranked])
    page = _page({"run": run.name, "model": model, "folder": folder.name}, data, found)
    write_atomically(output / PAGE, partial(Path.write_text, data=page, encoding="utf-8"))
    return f"{len(found.rows)} images, {len(found.wrong)} of them called by another name -> {output / PAGE}"


def _look(data: LabelledImages, signal: SignalTable, captioner: Captioner | None, encoder: TextEncoder) -> Findings:
    facts, options = data.facts, CaptionsConfig()
    assert signal.features is not None
    pools = representatives(signal.label, signal.prediction, signal.features, options.per_pool, options.most)
    chosen = (pools != NONE).nonzero().flatten().tolist()
    captions = dict.fromkeys(chosen, "")
    found = Findings(facts, signal, suspicious(signal, data.images.names, facts), pools, captions, None)
    if captioner is None:
        return found
    captions.update(zip(chosen, _captions(captioner, data, chosen), strict=True))
    said = [
        Pools(*([captions[place] for place in found.places(label, kind)] for kind in (TRUE_POSITIVE, FALSE_POSITIVE)))
        for label in range(facts.num_classes)
    ]
    return replace(found, words=name_bias(said, facts.class_names, encoder, NamingConfig()))


def suspicious(signal: SignalTable, names: Sequence[str], facts: Facts) -> list[Row]:
    """All images, the highest loss first."""
    classes = facts.class_names
    rows = []
    for place in signal.loss.argsort(descending=True, stable=True).tolist():
        label, prediction = int(signal.label[place]), int(signal.prediction[place])
        said = signal.probabilities[place]
        rows.append(Row(place, names[place], classes[label], classes[prediction], float(signal.loss[place]),
                        float(said[label]), float(said[prediction])))  # fmt: skip
    return rows


def _signal(run: Path, model: str, data: LabelledImages, experiment: Experiment) -> SignalTable:
    module = load_module(run_artefact(run, model), data.facts)
    if not isinstance(module, Classifier):
        raise UserError(f"stage '{model}' of {run.name} is no classifier; give --stage NAME of one")
    module.config = replace(module.config, features=True)
    found = Collected()
    with quiet_lightning():
        trainer = make_trainer(experiment.trainer, World(), [found, Progress(model, "predict")], Path.cwd())
        trainer.predict(module, datamodule=data, return_predictions=False)
    return SignalTable.from_columns({name: found.column(name) for name in found.parts[0]}, "the model's predictions")


def _captions(captioner: Captioner, data: LabelledImages, chosen: Sequence[int]) -> list[str]:
    found: list[str] = []
    for start in range(0, len(chosen), 16):
        places = list(chosen[start : start + 16])
        images = data.rows("test")[places].image.float() / 255
        labels = data.images.labels[places].tolist()
        found += captioner.caption(Asked(images, [data.images.names[p] for p in places], labels, [-1] * len(places)))
    return found


def _name_row(name: str, word: Word) -> list[str]:
    about = "task" if word.task else ""
    shares = [f"{value:.3f}" for value in (word.score, word.true_share, word.false_share)]
    return [name, word.word, *shares, about, "bias" if word.flagged else ""]


def _page(titles: dict[str, str], data: LabelledImages, found: Findings) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    facts, signal, words = found.facts, found.signal, found.words
    classes = []
    for label, name in enumerate(facts.class_names):
        own, called = signal.label == label, signal.prediction == label
        shown = {}
        for title, kind in (("rightly called so", TRUE_POSITIVE), ("wrongly called so", FALSE_POSITIVE)):
            places = found.places(label, kind)
            pixels = data.rows("test")[places].image.movedim(1, 3).numpy() if places else None
            shown[title] = (pixels, [found.captions[place] for place in places])
        classes.append({
            "name": name,
            "size": int(own.sum()),
            "right": int((own & called).sum()),
            "taken": int((~own & called).sum()),
            "words": [] if words is None else [word.word for word in words[label] if word.flagged],
            "sheet": _uri(contact_sheet(f"called {name}", shown)),
        })  # fmt: skip
    templates = Environment(loader=PackageLoader("lab.reports"), autoescape=True, undefined=StrictUndefined,
                            trim_blocks=True, lstrip_blocks=True)  # fmt: skip
    return templates.get_template("audit.html").render(
        **titles,
        total=len(found.rows),
        wrong=len(found.wrong),
        classes=classes,
        named=words is not None,
        chart=None if words is None else _uri(word_chart(words, facts.class_names, NamingConfig().score)),
        suspicious=[(row, _uri(data.images.images[row.place])) for row in found.wrong[:SHOWN]],
        files=(SUSPICIOUS, WANTED, NAMES),
    )


def _uri(image: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[2] == 1 else np.ascontiguousarray(image)).save(file, "png")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def _csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    def write(draft: Path) -> None:
        with draft.open("w", newline="", encoding="utf-8") as handle:
            csv.writer(handle).writerows([header, *rows])

    write_atomically(path, write)
