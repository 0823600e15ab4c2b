"""Captioners: images in, a sentence each out."""

from __future__ import annotations

import csv
import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from lab.data.base import Facts
from lab.errors import DataError, UserError
from lab.papers.samyna.clip import Clip
from lab.papers.samyna.config import CaptionerConfig
from lab.papers.samyna.words import ATTRIBUTES, DISTRACTORS, DRAWN, word_of

LEAST_TOKENS = 5
"""Tokens of a CoCa caption at least, as in open_clip."""


class Asked(NamedTuple):
    """Images to be described.

    images: float32 (B, 1 or 3, h, w) in [0, 1]; names: B names, as in the data set; labels, biases: B, or -1; said: B
    texts of the data set's own, or empty.
    """

    images: Tensor
    names: Sequence[str]
    labels: Sequence[int]
    biases: Sequence[int]
    said: Sequence[str] = ()


class Captioner(Protocol):
    cached: bool
    """Whether it is slow enough for its captions to be kept; they depend on the pixels alone then."""

    def caption(self, asked: Asked) -> list[str]: ...


class Drawn:
    """Sentences made of the true class and bias of each image, with words among them that say nothing.

    For drawn data, where the right answer has to be known. An image has the same caption each time.

    Raises:
        UserError: the data names no bias, or the bias of an image isn't known.
    """

    cached = False

    def __init__(self, facts: Facts, distractors: int):
        if not facts.bias_names:
            raise UserError("captioner.kind: drawn needs data with a named bias; choose another captioner")
        self.classes = [word_of(name) for name in facts.class_names]
        self.biases = [word_of(name) for name in facts.bias_names]
        self.distractors = distractors

    def caption(self, asked: Asked) -> list[str]:
        return [self._one(*row) for row in zip(asked.names, asked.labels, asked.biases, strict=True)]

    def _one(self, name: str, label: int, bias: int) -> str:
        if label < 0 or bias < 0:
            raise UserError(f"captioner.kind: drawn needs the true class and bias of every image, '{name}' has none")
        pick = random.Random(hashlib.sha256(name.encode()).digest())
        sentence = pick.choice(DRAWN).format(label=self.classes[label], bias=self.biases[bias])
        return ", ".join([sentence, *pick.sample(DISTRACTORS, self.distractors)])


class Described:
    """What the data set itself says of each image, such as the titles that come with BAR.

    Raises:
        UserError: the data set says nothing.
    """

    cached = False

    def caption(self, asked: Asked) -> list[str]:
        if not asked.said:
            raise UserError("captioner.kind: described needs data with texts of its own; choose another captioner")
        return list(asked.said)


class FromFile:
    """Captions of a file: CSV with the columns `image` and `caption`, or JSON, `{image: caption}` or, as BAR's own
    metadata.json, `{image: {"image_description": caption}}`.

    `image` is a name as in the data set, or its last part, with or without ending, where that is unambiguous.

    Raises:
        DataError: no such file, no captions in it, or an image that is asked for has none.
    """

    cached = False

    def __init__(self, file: Path):
        self.file = file
        try:
            read = read_json if file.suffix == ".json" else read_csv
            self.captions = {name: text for name, text in read(file) if text and text.strip()}
        except (OSError, ValueError, KeyError, AttributeError, csv.Error) as error:
            reason = f"no column {error}" if isinstance(error, KeyError) else error
            raise DataError(f"captioner.file: {file} can't be read as captions of images ({reason})") from error
        if not self.captions:
            raise DataError(f"captioner.file: {file} holds no captions")
        short: dict[str, set[str]] = {}
        for name, caption in self.captions.items():
            short.setdefault(Path(name).name, set()).add(caption)
        self.short = {name: next(iter(found)) for name, found in short.items() if len(found) == 1}

    def _of(self, name: str) -> str | None:
        path = Path(name)
        return self.captions.get(name) or self.short.get(path.name) or self.short.get(path.stem)

    def caption(self, asked: Asked) -> list[str]:
        found = [self._of(name) for name in asked.names]
        missing = [name for name, caption in zip(asked.names, found, strict=True) if caption is None]
        if missing:
            raise DataError(f"captioner.file: {self.file} has no caption of {missing[0]} ({len(missing)} such images)")
        return [caption for caption in found if caption is not None]


def read_csv(file: Path) -> Iterator[tuple[str, str | None]]:
    """Raises KeyError for an absent column, besides what reading raises."""
    with file.open(newline="", encoding="utf-8-sig") as handle:
        yield from ((row["image"], row["caption"]) for row in csv.DictReader(handle))


def read_json(file: Path) -> Iterator[tuple[str, str | None]]:
    """Raises AttributeError where there is something else than texts and objects, besides what reading raises."""
    for name, said in json.loads(file.read_text(encoding="utf-8")).items():
        yield name, said if isinstance(said, str) else said.get("image_description")


class ClipWords(nn.Module):
    """The words of a list that CLIP finds nearest to an image: `a photo of beach, sky, man`."""

    cached = True

    def __init__(self, model: str, weights: str, words: Sequence[str], top: int):
        super().__init__()
        self.clip = Clip(model, weights, "captioner.model")
        self.words, self.top = list(words), min(top, len(words))
        vectors = self.clip.encode([f"a photo of {word}" for word in self.words])
        self.register_buffer("vectors", vectors, persistent=False)

    def caption(self, asked: Asked) -> list[str]:
        similar = self.clip.images(asked.images) @ self.vectors.T  # type: ignore[operator]
        best = similar.topk(self.top, dim=1).indices.tolist()
        return ["a photo of " + ", ".join(self.words[place] for place in row) for row in best]


class Coca(nn.Module):
    """Captions that a CoCa model of open_clip writes, always the likeliest next token.

    Its own `generate` needs classes that transformers 5 no longer has.
    """

    cached = True

    def __init__(self, model: str, weights: str, max_tokens: int):
        super().__init__()
        self.clip = Clip(model, weights, "captioner.model")
        if not hasattr(self.clip.network, "text_decoder"):
            raise UserError(f"captioner.model: {model} writes no captions; take one of open_clip's coca models")
        self.max_tokens = max_tokens

    @torch.no_grad()
    def caption(self, asked: Asked) -> list[str]:
        tokenizer, network = self.clip.tokenizer, self.clip.network
        seen = network(self.clip.prepare(asked.images))
        latent, embedded = seen["image_features"], seen["image_embs"]
        text = torch.full((len(latent), 1), tokenizer.sot_token_id, device=latent.device)
        for length in range(min(self.max_tokens, tokenizer.context_length - 2)):
            logits = network(None, text, image_latent=latent, image_embs=embedded, output_labels=False)["logits"][:, -1]
            if length < LEAST_TOKENS:
                logits[:, tokenizer.eot_token_id] = -torch.inf
            text = torch.cat([text, logits.argmax(1, keepdim=True)], 1)
        rows = [row[1:] for row in text.tolist()]
        ends = [row.index(tokenizer.eot_token_id) if tokenizer.eot_token_id in row else len(row) for row in rows]
        return [tokenizer.decode(row[:end]).strip() for row, end in zip(rows, ends, strict=True)]


class VisionLanguage(nn.Module):
    """A vision-language model of transformers: BLIP and BLIP-2 describe, LLaVA and its like answer the prompt.

    Raises:
        UserError: transformers is absent, or there is no such model here.
    """

    cached = True

    def __init__(self, model: str, prompt: str, max_tokens: int):
        super().__init__()
        if find_spec("transformers") is None:
            raise UserError("captioner.kind: vision_language needs transformers; install lab[vlm]")
        from transformers import AutoModelForImageTextToText, AutoProcessor
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()

        try:
            self.processor: Any = AutoProcessor.from_pretrained(model)
            self.model: Any = AutoModelForImageTextToText.from_pretrained(model)
        except Exception as error:  # the hub's client and the readers raise many kinds
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise UserError(
                f"captioner.model: no vision-language model '{model}' ({reason[:160]}); give the folder of a "
                "downloaded one, or bring captions in a file (captioner.kind: file)"
            ) from error
        self.model.eval().requires_grad_(False)
        self.prompt, self.max_tokens = prompt, max_tokens

    @torch.no_grad()
    def caption(self, asked: Asked) -> list[str]:
        from torchvision.transforms.functional import to_pil_image

        images = [to_pil_image(image.expand(3, -1, -1).cpu()) for image in asked.images]
        inputs = self._inputs(images).to(self.model.device)
        tokens = self.model.generate(**inputs, max_new_tokens=self.max_tokens, do_sample=False)
        if getattr(self.processor, "chat_template", None):  # the answer follows the question
            tokens = tokens[:, inputs["input_ids"].shape[1] :]
        return [text.strip() for text in self.processor.batch_decode(tokens, skip_special_tokens=True)]

    def _inputs(self, images: list[Any]) -> Any:
        if not getattr(self.processor, "chat_template", None):
            return self.processor(images=images, return_tensors="pt")
        asked = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": self.prompt}]}]
        prompt = self.processor.apply_chat_template(asked, add_generation_prompt=True)
        return self.processor(images=images, text=[prompt] * len(images), return_tensors="pt", padding=True)


def build_captioner(config: CaptionerConfig, facts: Facts) -> Captioner:
    """Raises UserError where a library, weights or a file are missing: what to install or where to put them."""
    if config.kind == "drawn":
        return Drawn(facts, config.distractors)
    if config.kind == "described":
        return Described()
    if config.kind == "file":
        return FromFile(Path(str(config.file)).expanduser())
    if config.kind == "clip_words":
        return ClipWords(str(config.model), config.weights, word_list(config.words), config.top)
    if config.kind == "coca":
        return Coca(str(config.model), config.weights, config.max_tokens)
    return VisionLanguage(str(config.model), config.prompt, config.max_tokens)


def word_list(file: str | None) -> Sequence[str]:
    """The words of a text file, one a line, or those that come along. Raises DataError: no such file, no words."""
    if file is None:
        return ATTRIBUTES
    try:
        lines = Path(file).expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"captioner.words: {file} can't be read ({error})") from error
    words = [line.strip() for line in lines if line.strip()]
    if not words:
        raise DataError(f"captioner.words: {file} holds no words")
    return words
