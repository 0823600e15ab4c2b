"""Weights from files: read safely, matched to a network, and one clear error where they don't fit."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lab.errors import UserError

log = logging.getLogger(__name__)

SUFFIXES = (".safetensors", ".pth", ".pt", ".th", ".bin", ".ckpt")
WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Entries under which training scripts put the state dict."""


def is_file_name(weights: str) -> bool:
    """Whether `weights` means a file rather than a named set."""
    return "/" in weights or "\\" in weights or weights.endswith(SUFFIXES)


def read_state(path: Path) -> dict[str, Tensor]:
    """The state dict of a file, floating point values as float32, on the CPU.

    Takes `.safetensors`, and what `torch.save` wrote as long as it holds tensors and plain values (`weights_only`); a
    dict around the state dict and the prefix `module.` of DataParallel are taken off.

    Raises:
        UserError: no such file, damaged or truncated, not a state dict.
    """
    if not path.is_file():
        raise UserError(f"weights: no file {path}")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            content: Any = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the readers raise a dozen kinds of errors for damaged files
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"weights: {path} can't be read; it is damaged, cut off or unsafe ({reason[:160]})") from error
    for name in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
    if not isinstance(content, Mapping) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise UserError(f"weights: {path} doesn't hold a state dict (names and tensors)")
    state = {str(k).removeprefix("module."): v for k, v in content.items()}
    return {k: v.float() if v.is_floating_point() else v for k, v in state.items()}


def load_state(network: nn.Module, state: Mapping[str, Tensor], *, head: str, source: str) -> list[str]:
    """Copy a state dict into a network; all names and shapes have to fit, but for those of its head.

    Args:
        network: has a submodule named `head`, which makes the logits.
        head: its dotted name. Entries below it that are of another shape (another number of classes) are left out.
        source: what the error says the weights come from.

    Returns:
        names that were left out, empty when the head came along.

    Raises:
        UserError: how many entries are missing, unknown or of another shape, and the first few.
    """
    own = network.state_dict()
    of_head = {k for k in own if k.startswith(head + ".")}
    dropped = sorted(k for k in of_head if k not in state or state[k].shape != own[k].shape)
    if dropped:  # weight and bias belong together
        dropped = sorted(of_head)
    taken = {k: v for k, v in state.items() if k not in dropped}
    wrong = {
        "missing": [k for k in own if k not in taken and k not in dropped and not k.endswith("num_batches_tracked")],
        "unknown": [k for k in taken if k not in own],
        "of another shape": [k for k in taken if k in own and taken[k].shape != own[k].shape],
    }
    if any(wrong.values()):
        parts = [f"{len(names)} {what} ({_few(names)})" for what, names in wrong.items() if names]
        raise UserError(f"weights: {source} doesn't fit {type(network).__name__}: {'; '.join(parts)}")
    network.load_state_dict(taken, strict=False)
    if dropped:
        log.info("weights: %s: the head is new (%s)", source, _few(dropped))
    return dropped


def load_body(
    network: nn.Module, state: Mapping[str, Tensor], *, head: str | None, source: str, least: float = 0.95
) -> str:
    """Copy into a network all entries of a state dict whose name and shape fit, but for its head's, which stays new.

    Returns:
        a line that says how many came along, and the names that did not.

    Raises:
        UserError: fewer than the share `least` of the entries outside the head fit.
    """
    own = {name: value for name, value in network.state_dict().items() if not (head and name.startswith(head + "."))}
    taken = {name: state[name] for name, value in own.items() if name in state and state[name].shape == value.shape}
    left = [name for name in own if name not in taken]
    line = f"weights: {len(taken)} of {len(own)} entries of {source} fit {type(network).__name__}"
    line += f"; not: {_few(left)}" if left else ""
    if len(taken) < least * len(own):
        raise UserError(f"{line}; at least {100 * least:g} % have to: it was another network")
    network.load_state_dict(taken, strict=False)
    return line


def _few(names: Sequence[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")
