"""Run one stage: build its data module, module and Trainer, call the verb, and publish what came out."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import numpy as np
import torch
from lightning.pytorch.strategies import DDPStrategy
from safetensors.torch import save_file

from lab import registry
from lab.config.schema import TrainerConfig
from lab.data.module import LabDataModule, Loading
from lab.errors import UserError
from lab.stages.artefact import CURVES, METRICS, TABLE, WEIGHTS, Artefact
from lab.stages.environment import environment
from lab.stages.files import disk_errors, write_json
from lab.stages.graph import WEIGHTS_ROLE, Node
from lab.stages.loggers import NOBODY, TENSORBOARD, StageLoggers, Tracking
from lab.stages.module import StageModule
from lab.stages.predictions import PredictionWriter
from lab.stages.process import peak_memory, quiet_lightning, reset_peak_memory, seed_everything
from lab.stages.progress import Progress
from lab.stages.recovery import (
    CheckpointFile,
    Curves,
    Recovery,
    Reseed,
    Selection,
    StopBetweenBatches,
    recovery_checkpoint,
    save_weights,
)
from lab.stages.seeds import seed_of
from lab.stages.store import Store, now
from lab.stages.world import World, agree, barrier

OUTPUT = "output"
SPENT = "spent.json"
"""Seconds that interrupted runs of a stage took, in its working folder."""


def run_stage(
    node: Node,
    inputs: Mapping[str, Artefact],
    store: Store,
    world: World,
    *,
    label: str = "",
    tracking: Tracking = NOBODY,
) -> Artefact:
    """Compute the artefact of a node whose key is locked by rank 0, or go on computing it.

    inputs: role -> artefact, complete. Called on every rank; returns when the artefact is published.
    tracking: the loggers that hear of it; default none.

    Raises:
        StageFailed: diverged loss, full disk. Interrupted: after SIGINT or SIGTERM. Both leave what is needed to go on.
        UserError: no such split, weights that don't fit, a damaged recovery checkpoint, no GPU.
    """
    stage = node.stage
    assert node.key is not None and stage.module is not None and stage.data is not None and stage.trainer is not None
    started, clock = now(), time.monotonic()
    reset_peak_memory()
    work = agree(store.work(node.key) if world.is_first else None, world)
    loggers = StageLoggers(tracking if world.is_first else NOBODY, node, store, label)
    with quiet_lightning():
        data = _data_module(node, inputs, store, world)
        seed_everything(seed_of(node.material, "initialisation"))
        module = _module(node, data, inputs)
        trainer_config = stage.trainer
        earlier = json.loads((work / SPENT).read_text()) if (work / SPENT).exists() else 0.0
        if trainer_config.compile:
            module.compile()
        if trainer_config.channels_last:
            module.to(memory_format=torch.channels_last)
        try:
            with _output(work, world) as output, disk_errors("an artefact", store.root):
                if stage.verb == "fit":
                    found = _fit(node, trainer_config, module, data, work, output, world, label, loggers)
                else:
                    loggers.begin()
                    if stage.verb == "predict":
                        found = _predict(trainer_config, module, data, work, output, world, label, node.name)
                    else:
                        found = _evaluate(
                            stage.verb, trainer_config, module, data, work, output, world, label, node.name
                        )
                barrier(world)
                if world.is_first:
                    loggers.log(found, int(found.get("steps", 0)))
                    loggers.close(finished=True)
                    if (work / TENSORBOARD).exists():
                        shutil.copytree(work / TENSORBOARD, output / TENSORBOARD)
                    manifest = {
                        "stage": dict(node.material),
                        "facts": data.facts.to_plain(),
                        "made": {
                            "started": started,
                            "seconds": round(earlier + time.monotonic() - clock, 3),
                            "peak_memory_mib": peak_memory(),
                            "devices": world.size,
                            "device": str(module.device.type),
                            "threads": torch.get_num_threads(),
                            "environment": environment(),
                        },
                    }
                    store.publish(node.key, output, manifest)
        except BaseException:
            loggers.close(finished=False)
            if world.is_first and work.exists():
                # So that the time ledger of a resumed stage counts all of its time; a full disk may be why we are here.
                with suppress(OSError):
                    write_json(work / SPENT, earlier + time.monotonic() - clock)
            raise
    barrier(world)
    artefact = store.get(node.key)
    assert artefact is not None
    return artefact


PRECISION: dict[str, Any] = {"32": "32-true", "64": "64-true", "bf16-mixed": "bf16-mixed", "16-mixed": "16-mixed"}
"""Lightning's names of `TrainerConfig.precision`."""


def make_trainer(
    config: TrainerConfig, world: World, callbacks: list[L.Callback], folder: Path, **more: Any
) -> L.Trainer:
    """A Trainer that saves, logs and distributes nothing by itself: the framework's callbacks and samplers do."""
    accelerator = config.accelerator
    if accelerator == "gpu" and not torch.cuda.is_available():
        raise UserError("trainer.accelerator=gpu, but torch sees no GPU here; use trainer.accelerator=auto or cpu")
    if accelerator == "auto":
        accelerator = "gpu" if torch.cuda.is_available() else "cpu"
    return L.Trainer(
        accelerator="cuda" if accelerator == "gpu" else "cpu",
        devices=world.size // config.nodes if world.size > 1 else 1,
        num_nodes=config.nodes if world.size > 1 else 1,
        strategy=DDPStrategy() if world.size > 1 else "auto",
        precision=PRECISION[config.precision],
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=any(isinstance(callback, Recovery) for callback in callbacks),
        plugins=[CheckpointFile()],
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        sync_batchnorm=world.size > 1 and accelerator == "gpu",
        default_root_dir=folder,
        **more,
    )


def _fit(
    node: Node,
    config: TrainerConfig,
    module: StageModule,
    data: LabDataModule,
    work: Path,
    output: Path,
    world: World,
    label: str,
    loggers: StageLoggers,
) -> dict[str, float]:
    """What the curves don't say: the numbers of steps and epochs, and the step of the weights that are kept."""
    assert node.key is not None
    checkpoint = recovery_checkpoint(work, node.name, node.key)
    if _is_overridden(module, "sampling_weights"):
        data.train_weights = module.sampling_weights(*data.labels_and_groups())
    validates = config.validate_every > 0 and data.has_split("val") and _is_overridden(module, "validation_step")
    if not validates and (config.select == "best" or config.patience is not None):
        raise UserError(
            f"stage '{node.name}': monitor '{config.monitor}' would never be measured: "
            "it needs a validation split, a module that validates, and trainer.validate_every above 0"
        )
    curves = Curves(work, config.log_every, world, loggers)
    selection = Selection(work, config, node.name, world)
    trainer = make_trainer(
        config,
        world,
        [
            Reseed(module.seed, world),
            Progress(label, "fit", quiet=not world.is_first),
            curves,
            selection,
            Recovery(work, config, node.name, node.key, world),
        ],
        work,
        max_epochs=config.max_epochs if config.max_epochs is not None else -1,
        max_steps=config.max_steps if config.max_steps is not None else -1,
        accumulate_grad_batches=config.accumulate,
        gradient_clip_val=config.gradient_clip,
        log_every_n_steps=1,
        check_val_every_n_epoch=config.validate_every if validates else None,
        limit_val_batches=1.0 if validates else 0,
    )
    trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    if not world.is_first:
        return {}
    if config.select == "best" and selection.best is not None:
        shutil.copyfile(selection.best_weights, output / WEIGHTS)
    else:
        save_weights(output / WEIGHTS, module)
    if (work / CURVES).exists():
        shutil.copyfile(work / CURVES, output / CURVES)
    kept_step = selection.best_step if config.select == "best" else trainer.global_step
    # `processed`, as `trainer.current_epoch` is one short in a run that was killed just before this line and resumed.
    epochs: int = trainer.fit_loop.epoch_progress.current.processed  # type: ignore[attr-defined]
    progress: dict[str, float] = {"steps": trainer.global_step, "epochs": epochs, "kept_step": kept_step}
    _write_metrics(output, {**selection.metrics, **progress})
    return progress


def _is_overridden(module: StageModule, method: str) -> bool:
    return getattr(type(module), method) is not getattr(StageModule, method)


def _write_metrics(output: Path, metrics: Mapping[str, float]) -> None:
    # JSON has no NaN; `Artefact.metrics` reads null as NaN. A class may have spaces in its name; a metric, which claims
    # put into sums, may not.
    found = {"_".join(name.split()): value if math.isfinite(value) else None for name, value in metrics.items()}
    write_json(output / METRICS, found)


def _predict(
    config: TrainerConfig,
    module: StageModule,
    data: LabDataModule,
    work: Path,
    output: Path,
    world: World,
    label: str,
    name: str,
) -> dict[str, float]:
    writer = PredictionWriter(work, config.eval_batch_size)
    data.done_batches = agree(writer.done(), world)
    callbacks = [Progress(label, "predict", quiet=not world.is_first), writer, StopBetweenBatches(name)]
    trainer = make_trainer(config, world, callbacks, work)
    rows = data.facts.sizes[data.eval_split]
    if len(data.done_batches) * config.eval_batch_size < rows:
        trainer.predict(module, datamodule=data, return_predictions=False)
    barrier(world)
    if not world.is_first:
        return {}
    writer.merge(rows, output / TABLE)
    names = list(data.names(data.eval_split))
    if names:
        write_json(output / "names.json", names)
    summary = module.summarise(Artefact(output).table(), names)
    _write_metrics(output, summary.metrics)
    _save_pictures(output, summary.pictures)
    return summary.metrics


def _evaluate(
    verb: str,
    config: TrainerConfig,
    module: StageModule,
    data: LabDataModule,
    work: Path,
    output: Path,
    world: World,
    label: str,
    name: str,
) -> dict[str, float]:
    callbacks: list[L.Callback] = [Progress(label, verb, quiet=not world.is_first), StopBetweenBatches(name)]
    trainer = make_trainer(config, world, callbacks, work)
    run = trainer.test if verb == "test" else trainer.validate
    run(module, datamodule=data, verbose=False)
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    if world.is_first:
        _write_metrics(output, metrics)
        summary = module.summarise_test()
        _save_pictures(output, summary.pictures)
        if summary.table:
            save_file({name: column.contiguous() for name, column in summary.table.items()}, output / TABLE)
    return metrics


def _save_pictures(output: Path, pictures: Mapping[str, Any]) -> None:
    if not pictures:
        return
    from PIL import Image

    (output / "pictures").mkdir()
    for name, pixels in pictures.items():
        Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(output / "pictures" / name)


def _data_module(node: Node, inputs: Mapping[str, Artefact], store: Store, world: World) -> LabDataModule:
    stage = node.stage
    assert stage.data is not None and stage.trainer is not None
    loading = Loading(
        batch_size=stage.trainer.batch_size,
        eval_batch_size=stage.trainer.eval_batch_size,
        accumulate=stage.trainer.accumulate,
        workers=stage.trainer.workers,
        rank=world.rank,
        world=world.size,
        seed=seed_of(node.material, "data"),
        cache=store.cache,
    )
    component = registry.get("data", stage.data.name)
    data: LabDataModule = component.target_class()(stage.data.options, loading, inputs)
    if stage.verb != "fit":
        assert stage.split is not None
        data.eval_split = stage.split
        if not data.has_split(stage.split):
            raise UserError(f"stage '{node.name}': data '{component.name}' has no rows in split '{stage.split}'")
    return data


def _module(node: Node, data: LabDataModule, inputs: Mapping[str, Artefact]) -> StageModule:
    stage = node.stage
    assert stage.module is not None and stage.trainer is not None
    component = registry.get("module", stage.module.name)
    module: StageModule = component.target_class()(stage.module.options, data.facts, inputs)
    module.seed = seed_of(node.material, "sampling")
    module.log_every = stage.trainer.log_every
    if hasattr(module, "read_bias") and hasattr(data, "read_bias"):
        module.read_bias = data.read_bias
    if WEIGHTS_ROLE in inputs:
        _load_weights(module, inputs[WEIGHTS_ROLE], node.name)
    return module


def _load_weights(module: StageModule, artefact: Artefact, stage: str) -> None:
    try:
        module.load_state_dict(artefact.weights(), strict=True)
    except RuntimeError as error:
        source = artefact.manifest["stage"]["module"]["name"]
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise UserError(
            f"stage '{stage}': weights of a '{source}' (artefact {artefact.key}) don't fit its module: {first}"
        ) from None


@contextmanager
def _output(work: Path, world: World) -> Iterator[Path]:
    """A fresh folder for finished files, inside the working folder."""
    output = work / OUTPUT
    if world.is_first:
        shutil.rmtree(output, ignore_errors=True)
        output.mkdir()
    yield output
