"""Experiments as data: typed schema, layers, and errors that say file, line and key. Imports nothing heavy."""

from lab.config.reader import Origin
from lab.config.resolve import Outline, Resolved, experiments, find_experiment, outline, resolve

__all__ = ["Origin", "Outline", "Resolved", "experiments", "find_experiment", "outline", "resolve"]
