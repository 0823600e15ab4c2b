"""Motion in brain MRI: what DIMA and the evaluation of diffusion correctors share."""

from lab.registry import Component, Plugin

_HERE = "lab.papers.mri"


def _module(name: str, file: str, cls: str, summary: str, learns: bool = True) -> Component:
    config = {"PairMaker": "Pairs", "Uncorrected": "Correction"}.get(cls, cls)
    return Component("module", name, f"{_HERE}.config:{config}Config", f"{_HERE}.{file}:{cls}", summary, learns=learns)


PLUGIN = Plugin(
    "mri",
    summary="correcting motion in brain MRI: networks, rivals and tests shared by DIMA and its companion",
    components=(
        _module("mri/ddpm", "diffusion", "SliceDiffusion", "diffusion model of affected or of clean slices"),
        _module("mri/pairs", "pairs", "PairMaker", "artifacts drawn onto clean slices by partial noising (DIMA)"),
        _module("mri/corrector", "corrector", "Corrector", "residual U-Net on given pairs or on simulated motion"),
        _module("mri/unpaired", "unpaired", "Unpaired", "CycleGAN between affected and clean slices"),
        _module("mri/uncorrected", "corrector", "Uncorrected", "slices as they are: the row without correction", False),
        _module("mri/autofocus", "corrector", "Autofocus", "poses of least gradient entropy, slice by slice", False),
        Component(
            "data",
            "synthetic_pairs",
            f"{_HERE}.config:SyntheticPairsConfig",
            f"{_HERE}.pairs:SyntheticPairs",
            "pairs that a stage of mri/pairs made, some subjects held out",
        ),
    ),
)
