"""Every environment variable that lab reads: name, type, default and meaning, once."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Variable:
    name: str
    default: str
    meaning: str

    def get(self) -> str:
        return os.environ.get(self.name, self.default)

    def path(self) -> Path:
        return Path(self.get()).expanduser()


RUNS = Variable("LAB_RUNS", "runs", "folder of runs and artefacts (also `runs_dir=`)")
DATA = Variable("LAB_DATA", "data", "folder with the data sets (also `data.root=`)")
TRACEBACK = Variable("LAB_TRACEBACK", "", "set to 1 to see the Python traceback behind an error line")

VARIABLES = (RUNS, DATA, TRACEBACK)
