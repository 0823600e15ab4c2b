"""MoDAD: bias-conflicting images as anomalies among the features of a biased model."""

from __future__ import annotations

from lab.registry import Component, Plugin

_HERE = "lab.papers.modad"

PLUGIN = Plugin(
    "modad",
    summary="MoDAD: model debiasing seen as anomaly detection (WACV 2025, arXiv 2407.17449)",
    components=tuple(
        Component("module", f"modad/{name}", f"{_HERE}.config:{cls}Config", f"{_HERE}.{name}:{cls}", summary)
        for name, cls, summary in (
            ("biased", "Biased", "biased model: generalised cross-entropy, logs how far it memorises"),
            ("features", "Features", "features and predictions of any fitted classifier, as a signal table"),
            ("anomaly", "Anomaly", "one detector a class finds the conflicting rows among the features"),
            ("debiased", "Debiased", "rows said to be conflicting drawn more often, and shown in three more views"),
        )
    ),
)
