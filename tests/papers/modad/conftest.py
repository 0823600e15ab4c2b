"""The coloured squares and signal tables of the debiasing tests."""

from __future__ import annotations

from ..debiasing.conftest import batch, facts, signal

__all__ = ["batch", "facts", "signal"]
