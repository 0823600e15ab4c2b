"""What is committed: nothing of the machine it was written on, and experiments that are complete."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from lab.cli import VERBS
from lab.config import resolve
from lab.config.expressions import parse

ROOT = Path(__file__).resolve().parents[1]
EXPERIMENTS = sorted((ROOT / "experiments").glob("*.yaml"))


def committed() -> list[Path]:
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def test_no_file_names_a_machine_or_a_registry():
    # Written in pieces, or this file would name them too.
    marks = re.compile(
        r"(?<![\w.])/" + r"(work|root|home/\w+)/|files\.python" + r"hosted|pypi\.org/" + r"simple|--index" + "-url"
    )
    found = [f"{path}: {mark.group()}" for path in committed() for mark in [marks.search(text_of(path))] if mark]
    assert not found


def test_files_are_small():
    large = [path for path in committed() if path.stat().st_size > 500_000]
    assert not large


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_an_experiment_is_complete(path):
    experiment = resolve(path).experiment
    assert experiment.name == path.stem
    assert experiment.description
    assert experiment.paper
    assert experiment.claims
    assert experiment.report.headline
    tests = [stage for stage in experiment.stages.values() if stage.verb == "test"]
    assert tests
    assert all(stage.title for stage in experiment.stages.values())
    named = {cell.stage for cell in experiment.cells}
    sides = [side for claim in experiment.claims for side in (claim.left, claim.right) if side is not None]
    named |= {term.stage for side in sides for term in parse(side)}
    assert named <= {*experiment.stages, *experiment.left_out}
    if experiment.kind == "paper-scale":  # where no table could be read, at least what others say of the paper
        assert experiment.cells or any(claim.provenance != "ours" for claim in experiment.claims)


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_an_experiment_that_needs_files_can_be_tried_without(path):
    if resolve(path).experiment.kind == "embedded":
        pytest.skip("needs no files")
    smoke = resolve(path, profiles=["smoke"]).experiment
    assert all(getattr(stage.data.options, "stand_in", True) for stage in smoke.stages.values())


def test_the_experiment_in_the_readme_is_valid(tmp_path):
    found = re.findall(r"```yaml\n(name: .*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(found) == 1
    path = tmp_path / "my_experiment.yaml"
    path.write_text(found[0])
    assert list(resolve(path).experiment.stages) == ["erm", "erm_test", "second", "second_test"]


def test_the_readme_shows_every_verb_and_no_other():
    shown = set(re.findall(r"^    lab (\w+)", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert shown == set(VERBS)


def test_constraints_hold_an_exact_version_of_every_dependency():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9-]+==[\w.]+", line) for line in lines)
    pinned = {line.partition("==")[0] for line in lines}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(d for group in project["optional-dependencies"].values() for d in group)]
    assert {re.split(r"[^\w-]", name)[0] for name in wanted} <= pinned


def test_every_make_target_has_its_line_of_help():
    shown = subprocess.run(["make", "-s", "-C", str(ROOT)], capture_output=True, text=True, check=True).stdout
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony
    assert [line.split()[1] for line in shown.splitlines()] == phony.group(1).split()


def test_make_says_when_there_is_no_python(tmp_path):
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    make = shutil.which("make")
    assert make
    done = subprocess.run([make, "test"], cwd=tmp_path, env={"PATH": str(tmp_path)}, capture_output=True, text=True)
    assert done.returncode != 0
    assert "lab needs Python 3.11 or newer" in done.stderr
