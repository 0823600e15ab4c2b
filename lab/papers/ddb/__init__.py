"""DDB, Diffusing DeBias: a diffusion model amplifies a data set's bias, and what it shows is used to remove it."""

from lab.registry import Component, Plugin

PLUGIN = Plugin(
    "ddb",
    summary="DDB: diffusion-made bias amplification for debiasing (NeurIPS 2025, arXiv 2502.09564)",
    components=(
        Component(
            "module",
            "ddb/diffusion",
            config="lab.papers.ddb.config:DiffusionConfig",
            target="lab.papers.ddb.diffusion:DiffusionModule",
            summary="class-conditional diffusion model of the biased training images",
        ),
        Component(
            "module",
            "ddb/sampler",
            config="lab.papers.ddb.config:SamplerConfig",
            target="lab.papers.ddb.sampler:SamplerModule",
            summary="synthetic bias-aligned images from a fitted ddb/diffusion",
        ),
    ),
)
