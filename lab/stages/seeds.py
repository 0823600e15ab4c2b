"""Seeds derived by named axes, so that it can be seen what a random draw depends on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Literal

Axis = Literal["data", "initialisation", "sampling"]


def derive(seed: int, *axes: str | int) -> int:
    """A seed in [0, 2**63) for `(seed, *axes)`; equal arguments give equal seeds on every machine.

    >>> derive(0, "noise", 3) == derive(0, "noise", 3) != derive(0, "noise", 4)
    True
    """
    text = "\x1f".join([str(seed), *(f"{type(axis).__name__}:{axis}" for axis in axes)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def seed_of(material: Mapping[str, Any], axis: Axis) -> int:
    """The seed of one axis of a stage, from what its key is made of: `seed`, and `seeds` where axes are pinned."""
    return derive(int(material.get("seeds", {}).get(axis, material["seed"])), axis)
