"""Debiasing methods that several papers share: plain training, GroupDRO, LfF, JTT, DFR, and DDB's two recipes."""

from __future__ import annotations

from lab.registry import Component, Plugin

_HERE = "lab.papers.debiasing"

PLUGIN = Plugin(
    "debiasing",
    components=tuple(
        Component("module", name, f"{_HERE}.config:{cls}Config", f"{_HERE}.{name}:{cls}", summary)
        for name, cls, summary in (
            ("classifier", "Classifier", "plain training (ERM), and biased models and amplifiers"),
            ("group_dro", "GroupDRO", "GroupDRO on true groups (oracle) or pseudo-groups (DDB recipe I)"),
            ("reweighted", "Reweighted", "losses weighted by a frozen biased model (DDB recipe II)"),
            ("lff", "LfF", "Learning from Failure: biased and debiased network together"),
            ("jtt", "JTT", "Just Train Twice: errors of a first model drawn more often"),
            ("dfr", "DFR", "last layer fitted again on true groups of the validation split"),
            ("bias_oracle", "BiasOracle", "signal of a biased model that is never wrong: true bias labels"),
        )
    ),
    summary="debiasing methods shared by DDB, MoDAD and SaMyNa",
)
