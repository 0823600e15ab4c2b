"""Top-tuning: fast kernel classifiers on the features of a frozen backbone, and what they are compared with."""

from __future__ import annotations

from lab.registry import Component, Plugin

_HERE = "lab.papers.top_tuning"

PLUGIN = Plugin(
    "top_tuning",
    summary="Top-tuning: transfer learning without fine-tuning (Image and Vision Computing 2024, arXiv 2209.07932)",
    components=tuple(
        Component("module", f"top_tuning/{name}", f"{_HERE}.config:{cls}Config", f"{_HERE}.{file}:{cls}", summary)
        for name, file, cls, summary in (
            ("falkon", "falkon", "FalkonHead", "Falkon on features: Nyström kernel least squares, the method itself"),
            ("probe", "probe", "Probe", "linear probe: one linear layer trained by gradient steps"),
            ("ridge", "linear", "RidgeHead", "linear least squares on features, in closed form"),
            ("logistic", "linear", "LogisticHead", "multinomial logistic regression on features (scikit-learn)"),
            ("kernel_ridge", "exact", "KernelRidgeHead", "exact kernel ridge regression on features"),
            ("svc", "exact", "SvcHead", "support vector classifier on features (scikit-learn)"),
            ("fine_tune", "fine_tune", "FineTune", "all layers trained on, from pretrained weights or a fitted stage"),
            ("best_of", "best_of", "BestOf", "the best of several fitted classifiers by a validation metric"),
        )
    ),
)
