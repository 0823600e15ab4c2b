"""A trained model on a user's own images, outside any experiment's graph."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import torch
from torch import Tensor

from lab import registry
from lab.config.schema import Experiment, TrainerConfig
from lab.data.base import Facts, Split
from lab.data.files import Resize
from lab.data.folder import FolderConfig, ImageFolder
from lab.data.module import ImageRows, LabDataModule, Loading
from lab.errors import UserError
from lab.stages.artefact import Artefact
from lab.stages.execute import set_threads
from lab.stages.files import write_atomically
from lab.stages.graph import runs_dir
from lab.stages.load import load_module, siblings
from lab.stages.module import StageModule
from lab.stages.process import quiet_lightning
from lab.stages.progress import Progress
from lab.stages.record import run_artefact
from lab.stages.runner import make_trainer
from lab.stages.store import Store
from lab.stages.world import World


class FolderImages(LabDataModule):
    """All images below a folder, made to squares as those were that the model was trained on."""

    def __init__(self, folder: Path, facts: Facts, loading: Loading, resize: Resize = "squeeze"):
        super().__init__(None, loading)
        config = FolderConfig(path=str(folder), image_size=facts.image_shape[1], resize=resize)
        images = ImageFolder(config, loading.cache)
        self.images = images.split("test")
        self.facts = replace(facts, sizes={"test": len(self.images)})

    def rows(self, split: Split) -> ImageRows:
        return ImageRows(self.images, self.facts.num_biases)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return batch._replace(image=batch.image.float() / 255)


class Collected(L.Callback):
    """Keeps what `predict_step` returns."""

    def __init__(self) -> None:
        self.parts: list[Mapping[str, Tensor]] = []

    def on_predict_batch_end(self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, *_: Any) -> None:
        self.parts.append({name: value.detach().cpu() for name, value in outputs.items()})

    def column(self, name: str) -> Tensor:
        return torch.cat([part[name] for part in self.parts])


def predict_input(run: Path, experiment: Experiment, source: Path, output: Path, *, stage: str | None = None) -> str:
    """Apply a run's model to what a user gives: pictures are told apart, scans corrected, as the model says.

    See `predict_folder` and `lab.stages.apply_scans.predict_scans`, whose line for the user this returns.

    Raises:
        UserError: the run has no such model; and what those two raise.
    """
    model = stage or (experiment.predict.model if experiment.predict else None)
    if model is None:
        raise UserError(f"{experiment.name} doesn't say which model predicts: give --stage NAME")
    module: type[StageModule] = registry.get(
        "module", str(run_artefact(run, model).manifest["stage"]["module"]["name"])
    ).target_class()
    if module.applies_to == "scans":
        from lab.stages.apply_scans import predict_scans

        return predict_scans(run, experiment, source, output, model)
    return predict_folder(run, experiment, source, output, stage=stage)


def predict_folder(run: Path, experiment: Experiment, folder: Path, output: Path, *, stage: str | None = None) -> str:
    """Write `output/predictions.csv`, one row an image: file, class, probability of each class and, when the experiment
    names a model that knows the bias, what that model says and whether the image goes with the bias or against it.

    Returns a line for the user.

    Raises:
        UserError: no such folder, no images in it, or the run has no such model.
    """
    if not folder.is_dir():
        raise UserError(f"--input {folder}: no such folder")
    chosen = experiment.predict
    model = stage or (chosen.model if chosen else None)
    if model is None:
        raise UserError(f"{experiment.name} doesn't say which model predicts: give --stage NAME")
    knows_bias = chosen.bias if chosen else None
    trainer = experiment.trainer
    set_threads(trainer, World())
    facts = run_artefact(run, model).facts()
    loading = Loading(
        eval_batch_size=trainer.eval_batch_size, workers=trainer.workers, cache=Store(runs_dir(experiment)).cache
    )
    data = FolderImages(folder, facts, loading, resize_of(run_artefact(run, model)))
    probabilities = _probabilities(run, model, data, trainer)
    header = ["file", "class", *(f"p({name})" for name in facts.class_names)]
    columns = [list(data.images.names), _named(probabilities, facts), *_numbers(probabilities)]
    if knows_bias:
        biased = _probabilities(run, knows_bias, data, trainer)
        follows = biased.argmax(1) == probabilities.argmax(1)
        header += ["biased_class", "pseudo_bias"]
        columns += [_named(biased, facts), ["aligned" if same else "conflicting" for same in follows.tolist()]]
    output.mkdir(parents=True, exist_ok=True)
    write_atomically(output / "predictions.csv", lambda draft: _write_csv(draft, header, columns))
    return f"{len(data.images)} images -> {output / 'predictions.csv'} (model '{model}' of {run.name})"


def resize_of(model: Artefact) -> Resize:
    """How images became squares for a fit; one to features, as for the stage that made them."""
    data = model.manifest["stage"]["data"]
    if data["name"] == "features":
        return resize_of(siblings(model)["train"])
    found: Resize = data["options"].get("resize", "squeeze")
    return found


def _probabilities(run: Path, stage: str, data: FolderImages, trainer: TrainerConfig) -> Tensor:
    module = load_module(run_artefact(run, stage), data.facts)
    found = Collected()
    with quiet_lightning():
        make_trainer(trainer, World(), [found, Progress(stage, "predict")], Path.cwd()).predict(
            module, datamodule=data, return_predictions=False
        )
    return found.column("probabilities")


def _named(probabilities: Tensor, facts: Facts) -> list[str]:
    return [facts.class_names[k] for k in probabilities.argmax(1).tolist()]


def _numbers(probabilities: Tensor) -> list[list[str]]:
    return [[f"{value:.6f}" for value in column] for column in probabilities.T.tolist()]


def _write_csv(path: Path, header: list[str], columns: list[list[str]]) -> None:
    with path.open("w", newline="") as handle:
        rows = csv.writer(handle)
        rows.writerow(header)
        rows.writerows(zip(*columns, strict=True))
