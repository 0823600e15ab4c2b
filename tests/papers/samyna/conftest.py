"""Tiny models with random weights, written to files: nothing is downloaded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from lab.data.base import Facts

TINY_CLIP, TINY_COCA = "lab-tiny-clip", "lab-tiny-coca"
TOWERS = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 24, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}
COCA = {
    "embed_dim": 16,
    "vision_cfg": {
        **TOWERS["vision_cfg"],  # type: ignore[dict-item]
        "attentional_pool": True,
        "attn_pooler_heads": 2,
        "output_tokens": True,
    },
    "text_cfg": {**TOWERS["text_cfg"], "embed_cls": True, "output_tokens": True},  # type: ignore[dict-item]
    "multimodal_cfg": {"context_length": 24, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1,
                       "attn_pooler_heads": 2},
    "custom_text": True,
}  # fmt: skip


@pytest.fixture(scope="session")
def open_clip_weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Architecture -> file of its random weights; the architectures are known to open_clip."""
    open_clip = pytest.importorskip("open_clip")
    folder = tmp_path_factory.mktemp("open_clip")
    files = {}
    for name, config in ((TINY_CLIP, TOWERS), (TINY_COCA, COCA)):
        (folder / f"{name}.json").write_text(json.dumps(config))
        open_clip.add_model_config(folder / f"{name}.json")
        torch.manual_seed(0)
        files[name] = str(folder / f"{name}.pt")
        torch.save(open_clip.create_model(name).state_dict(), files[name])
    yield files


@pytest.fixture
def facts() -> Facts:
    return Facts(
        class_names=("disc", "square"),
        bias_names=("red", "green"),
        aligned=np.eye(2, dtype=bool),
        image_shape=(3, 16, 16),
        sizes={"train": 12, "val": 4, "test": 4},
        label_counts=np.array([6, 6]),
        group_counts=np.array([5, 1, 1, 5]),
    )


@pytest.fixture(scope="session")
def blip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a BLIP model with random weights and a vocabulary of a few words."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("blip")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "disc", "red", "square", "green"]
    (folder / "vocab.txt").write_text("\n".join(words))
    tokenizer = transformers.BertTokenizerFast(vocab=str(folder / "vocab.txt"))
    size = {"height": 32, "width": 32}
    processor = transformers.BlipProcessor(transformers.BlipImageProcessor(size=size), tokenizer)
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.BlipConfig(
        text_config={**small, "vocab_size": len(words), "encoder_hidden_size": 16, "projection_dim": 16,
                     "bos_token_id": 2, "sep_token_id": 3, "eos_token_id": 3, "pad_token_id": 0, "is_decoder": True},
        vision_config={**small, "image_size": 32, "patch_size": 16},
        projection_dim=16,
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.BlipForConditionalGeneration(config).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
