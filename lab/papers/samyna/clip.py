"""CLIP through open_clip: images and texts in, vectors of length 1 out."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lab.errors import UserError, did_you_mean
from lab.networks.weights import is_file_name

BATCH = 256


class Clip(nn.Module):
    """An open_clip model with weights from a file or of a named set.

    Args:
        model: open_clip's name of the architecture, such as ViT-B-32.
        weights: a file, or a tag such as openai, which open_clip looks up in its cache or downloads.
        where: what errors say the option belongs to.

    Raises:
        UserError: open_clip is absent, unknown architecture, no such weights, weights of another architecture.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: str, weights: str, where: str):
        super().__init__()
        if find_spec("open_clip") is None:
            raise UserError(f"{where}: open_clip is not installed; install lab[clip]")
        import open_clip

        known = open_clip.list_models()
        if model not in known:
            raise UserError(f"{where}: open_clip knows no architecture '{model}'{did_you_mean(model, known)}")
        if weights == "none":
            raise UserError(f"{where}: needs the weights of {model}: a file, or a tag of open_clip such as openai")
        if is_file_name(weights) and not Path(weights).expanduser().is_file():
            raise UserError(f"{where}: no file {weights} with weights of {model}")
        source = str(Path(weights).expanduser()) if is_file_name(weights) else weights
        try:
            self.network: Any = open_clip.create_model(model, pretrained=source, require_pretrained=True)
            self.tokenizer: Any = open_clip.get_tokenizer(model)
        except Exception as error:  # the hub's client, the readers and torch raise many kinds
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise UserError(
                f"{where}: weights '{weights}' of {model} can't be had ({reason[:160]}); download them on another "
                "machine and give the file"
            ) from error
        self.network.eval().requires_grad_(False)
        visual = self.network.visual
        size = visual.image_size
        self.side = int(size[0] if isinstance(size, (tuple, list)) else size)
        self.register_buffer("mean", torch.tensor(visual.image_mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(visual.image_std).view(1, -1, 1, 1), persistent=False)

    def prepare(self, images: Tensor) -> Tensor:
        """Images (B, 1 or 3, h, w) in [0, 1] as the image tower takes them: squeezed to a square."""
        size = (self.side, self.side)
        resized = F.interpolate(images.float(), size, mode="bicubic", antialias=True, align_corners=False)
        normalised: Tensor = (resized.clamp(0, 1).expand(-1, 3, -1, -1) - self.mean) / self.std
        return normalised

    @torch.no_grad()
    def images(self, images: Tensor) -> Tensor:
        """float32 (B, d) of images (B, 1 or 3, h, w) in [0, 1]."""
        found: Tensor = self.network.encode_image(self.prepare(images))
        return F.normalize(found.float(), dim=1)

    @torch.no_grad()
    def encode(self, texts: Sequence[str]) -> Tensor:
        """float32 (n, d), on the CPU."""
        device = next(self.network.parameters()).device
        parts = [list(texts[start : start + BATCH]) for start in range(0, len(texts), BATCH)]
        found = [self.network.encode_text(self.tokenizer(part).to(device)).float().cpu() for part in parts]
        return F.normalize(torch.cat(found), dim=1)
