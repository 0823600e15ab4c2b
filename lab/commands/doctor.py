"""`lab doctor`: what this machine can run, and what it lacks."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator
from importlib import import_module, metadata
from importlib.util import find_spec

from lab import __version__, env
from lab.commands.list import SECTIONS, Row, columns

NOT_ON_PYPI = {"falkon": "solver: falkon of top-tuning; https://github.com/FalkonML/falkon says how to install it"}
"""Import name of a package that no extra can bring, and what it is for."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    pass


def run(args: argparse.Namespace) -> int:
    for heading, rows in (("machine", _machine()), ("optional packages", _extras()), ("data", _data())):
        print(heading)
        for line in columns(list(rows)):
            print(f"  {line}")
    return 0


def _machine() -> Iterator[Row]:
    from lab.stages.environment import environment

    import_module("torch")  # so that GPUs are seen
    here = environment()
    yield "lab", f"{__version__}, Python {here['python']}, torch {here['packages'].get('torch', 'missing')}"
    yield "CPU", f"{here['cpu']}, {here['cores']} cores, {here['memory_gib']} GiB"
    yield "GPU", ", ".join(map(str, here["gpus"])) or "none; everything runs on the CPU, slower"
    yield "SLURM", "sbatch found" if shutil.which("sbatch") else "none; sweeps run on this machine"
    for variable in (env.DATA, env.RUNS):
        yield variable.name, variable.get() or "not set"


def _extras() -> Iterator[Row]:
    """Every extra but the developers', and which of its packages are not installed."""
    from packaging.requirements import Requirement

    wanted: dict[str, list[str]] = {}
    for text in _requirements():
        requirement = Requirement(text)
        marker = str(requirement.marker or "")
        extra = marker.partition("extra == ")[2].strip("\"'")
        if extra and extra != "dev":
            wanted.setdefault(extra, []).append(requirement.name)
    for extra, names in wanted.items():
        lacking = [name for name in names if not _installed(name)]
        yield f"lab[{extra}]", "ready" if not lacking else f"missing: {', '.join(lacking)}"
    for name, purpose in NOT_ON_PYPI.items():
        yield name, "ready" if find_spec(name) else f"missing: {purpose}"


def _requirements() -> list[str]:
    try:
        return metadata.requires("lab") or []
    except metadata.PackageNotFoundError:  # run from a source tree that isn't installed: no extras are known
        return []


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _data() -> Iterator[Row]:
    rows = list(SECTIONS["data"]())
    ready = [name for name, state, _ in rows if state == "ready"]
    yield "ready", ", ".join(ready) or "none"
    yield "missing", f"{len(rows) - len(ready)} of {len(rows)}; `lab list data` names them, `lab data get NAME` helps"
