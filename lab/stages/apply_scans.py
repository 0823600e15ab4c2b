"""A trained corrector on a user's own scans, slice by slice in batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from lab.config.schema import Experiment, TrainerConfig
from lab.data.module import Loading
from lab.data.scans.volume import Stack, write_volume
from lab.errors import UserError
from lab.papers.mri.scans import StackData, before_and_after, find_scans, opened, spread_volume
from lab.stages.apply import Collected
from lab.stages.artefact import WEIGHTS
from lab.stages.execute import set_threads
from lab.stages.files import write_atomically
from lab.stages.load import load_module, rebuild
from lab.stages.module import StageModule
from lab.stages.process import quiet_lightning
from lab.stages.progress import Progress
from lab.stages.record import run_artefact
from lab.stages.runner import make_trainer
from lab.stages.world import World


def predict_scans(run: Path, experiment: Experiment, source: Path, output: Path, model: str) -> str:
    """For each scan of `source` (NIfTI file, DICOM series, or a folder of them), below `output`:

    `NAME_corrected.nii.gz`, with affine, order of voxels, type and scaling of the file; of DICOM as float32;
    `NAME_spread.nii.gz`, the standard deviation over draws, of models that draw several times;
    `NAME_corrected.png`: before, after, difference and spread.

    All scans are checked before the first is corrected. Returns a line for the user.

    Raises:
        DataError: no scan, a damaged one, or one of a kind that the model wasn't trained on.
    """
    artefact = run_artefact(run, model)
    facts = artefact.facts()
    if facts.acquisition is None:
        raise UserError(f"stage '{model}' of {run.name} doesn't say what scans it was trained on: fit it again")
    scans = find_scans(source)
    planes = ", ".join(sorted({opened(scan, facts).plane for scan in scans}))
    trainer = experiment.trainer
    set_threads(trainer, World())
    module = load_module(artefact) if (artefact.path / WEIGHTS).exists() else rebuild(artefact).eval()
    loading = Loading(eval_batch_size=trainer.eval_batch_size, workers=trainer.workers)
    for scan in scans:
        stack = opened(scan, facts)
        corrected, spread = _corrected(module, StackData(stack, facts, loading), trainer, scan.name)
        _write(stack, corrected, spread, output / scan.name)
    return f"{len(scans)} scans, {planes} slices -> {output} (model '{model}' of {run.name})"


def _corrected(
    module: StageModule, data: StackData, trainer: TrainerConfig, name: str
) -> tuple[np.ndarray, np.ndarray | None]:
    """Slices and their spread, float32 (n, size, size)."""
    found = Collected()
    with quiet_lightning():
        make_trainer(trainer, World(), [found, Progress(name, "predict")], Path.cwd()).predict(
            module, datamodule=data, return_predictions=False
        )
    spread = found.column("spread").numpy() if "spread" in found.parts[0] else None
    return found.column("image").numpy(), spread


def _write(stack: Stack, corrected: np.ndarray, spread: np.ndarray | None, path: Path) -> None:
    write_volume(stack.put_back(corrected), path.with_name(f"{path.name}_corrected.nii.gz"))
    if spread is not None:
        write_volume(spread_volume(stack, spread), path.with_name(f"{path.name}_spread.nii.gz"))
    picture = Image.fromarray(before_and_after(stack, corrected, spread))
    write_atomically(path.with_name(f"{path.name}_corrected.png"), lambda draft: picture.save(draft, format="PNG"))
