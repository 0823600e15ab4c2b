"""DIMA: a diffusion model of affected slices puts artifacts onto clean ones, and a U-Net learns to take them off."""

from lab.registry import Component, Plugin

PLUGIN = Plugin(
    "dima",
    summary="DIMA: diffused motion artifacts for unsupervised correction of brain MRI (arXiv 2504.06767)",
    components=(
        Component(
            "module",
            "dima/choice",
            "lab.papers.dima.config:ChoiceConfig",
            "lab.papers.dima.choice:Choice",
            "how much noise: artifact scores of drawn slices against those of affected ones, no pairs",
        ),
    ),
)
