"""Texts as columns of a table, which holds tensors only: UTF-8, a row a text, padded with zero bytes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def pack(texts: Sequence[str], width: int) -> Tensor:
    """uint8 (n, width); what is longer is cut at a whole character."""
    rows = torch.zeros(len(texts), width, dtype=torch.uint8)
    for row, text in enumerate(texts):
        data = text.replace("\0", "").encode()[:width].decode(errors="ignore").encode()
        rows[row, : len(data)] = torch.frombuffer(bytearray(data), dtype=torch.uint8) if data else 0
    return rows


def unpack(rows: Tensor) -> list[str]:
    """What `pack` packed."""
    return [bytes(row.tolist()).rstrip(b"\0").decode() for row in rows]
