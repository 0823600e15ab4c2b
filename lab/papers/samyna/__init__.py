"""SaMyNa, Say My Name: which words say what a model is biased on, and what to do about it."""

from lab.registry import Component, Plugin

_HERE = "lab.papers.samyna"

PLUGIN = Plugin(
    "samyna",
    summary="SaMyNa: naming a model's bias in words (TMLR 2025, arXiv 2408.09570)",
    components=(
        *(
            Component("module", f"samyna/{name}", f"{_HERE}.config:{cls}Config", f"{_HERE}.{file}:{cls}", summary)
            for name, file, cls, summary in (
                ("biased_model", "biased_model", "BiasedModel", "plain training that finds its most biased instant"),
                ("pretrained", "biased_model", "Pretrained", "a trained classifier from a file, as it is"),
                ("captions", "captions", "Captions", "captions of true and false positives of each class"),
                ("naming", "stage", "Naming", "words that name each class's bias, or the verdict that there is none"),
                ("pseudo_groups", "pseudo_groups", "PseudoGroups", "named cues as a signal for GroupDRO"),
            )
        ),
        Component(
            "data",
            "samyna/classes",
            config=f"{_HERE}.config:ClassesConfig",
            target=f"{_HERE}.stage:Classes",
            summary="one row for each class that captions speak of",
        ),
    ),
)
