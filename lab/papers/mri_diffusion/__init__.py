"""Diffusion models as motion correctors, and how much they invent."""

from lab.registry import Component, Plugin

PLUGIN = Plugin(
    "mri_diffusion",
    summary="Assessing diffusion models for motion artifact correction in brain MRI (arXiv 2502.01418)",
    components=(
        Component(
            "module",
            "mri_diffusion/corrector",
            "lab.papers.mri_diffusion.config:DiffusionCorrectorConfig",
            "lab.papers.mri_diffusion.corrector:DiffusionCorrector",
            "affected slices noised and denoised by a model of clean ones: mean and spread over draws",
        ),
        Component(
            "module",
            "mri_diffusion/curve",
            "lab.papers.mri_diffusion.config:CurveConfig",
            "lab.papers.mri_diffusion.curve:Curve",
            "quality and hallucination of that against the noise level, and the level of best SSIM",
        ),
    ),
)
