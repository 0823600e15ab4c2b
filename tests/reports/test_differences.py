"""`lab why`: runs of the toy plugin that differ in one thing, or in none."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.cli import main
from lab.reports.differences import Differences, Parting, differences
from tests.stages.toy import ROOT, fit, installed

LINE = """
name: line
data: {name: toy/plane, rows: 21}
trainer: {max_epochs: 2, batch_size: 4, log_every: 2}
loggers: []
stages:
  first: {verb: fit, module: {name: toy/linear}}
  other: {verb: fit, module: {name: toy/linear, lr: 0.02}}
  check: {verb: test, weights: first}
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the runs `base`, `lr`, `seed` and `less`; the last has no stage `check`."""
    folder = tmp_path_factory.mktemp("line")
    config = folder / "line.yaml"
    config.write_text(LINE)
    ways = {"base": (), "lr": ("stages.first.module.lr=0.04",), "seed": ("seed=2",), "less": ("stages.check=null",)}
    with installed(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("lab.reports.write_report", lambda run: run / "report.html")
        for name, way in ways.items():
            before = set(folder.glob("line-*"))
            assert fit(folder, *way, config=config) == 0
            (made,) = set(folder.glob("line-*")) - before
            (folder / name).symlink_to(made)
        yield folder


@pytest.fixture
def copy(runs: Path, tmp_path: Path) -> Path:
    """The run `base` as another machine would have made it: the same keys in another store."""
    shutil.copytree(runs, tmp_path / "copy", symlinks=True)
    return tmp_path / "copy" / (runs / "base").resolve().name


def compared(runs: Path, a: str, b: str) -> Differences:
    return differences((runs / a).resolve(), (runs / b).resolve())


def test_nothing(runs, capsys) -> None:
    found = compared(runs, "base", "base")
    assert found.none
    assert [pair.same for pair in found.stages] == [True] * 3
    assert main(["why", str(runs / "base"), str(runs / "base")]) == 0
    printed = capsys.readouterr().out
    assert printed.endswith("no difference found\n")
    assert printed.count("the same artefact") == 3


def test_an_option(runs, capsys) -> None:
    found = compared(runs, "base", "lr")
    assert not found.none
    (setting,) = found.settings
    assert (setting.what, setting.a, setting.b) == ("stages.first.module.lr", 0.05, 0.04)
    assert setting.where == "default | command line"
    assert setting.also == ("stages.check.module.lr",)  # what `weights: first` inherits
    assert not found.seeds
    assert {pair.stage: pair.same for pair in found.stages} == {"first": False, "other": True, "check": False}
    assert [pair.relation for pair in found.stages if not pair.same] == [
        "differs in module.lr",
        "differs in module.lr, its input first",
    ]
    (curve,) = found.curves
    rows = [read(runs / name, "first") for name in ("base", "lr")]
    step, name, a, b = next(
        (step, name, value, rows[1][step, name])
        for (step, name), value in rows[0].items()
        if value != rows[1][step, name]
    )
    assert curve == Parting("first", 0, step, name, a, b)
    assert step == 2
    (metric,) = found.metrics
    assert metric.what == "check/loss"
    assert metric.a != metric.b
    assert main(["why", str(runs / "base"), str(runs / "lr")]) == 0
    printed = capsys.readouterr().out
    assert f"first: the curves part at step 2 in train/loss, from the beginning: {a!r} and {b!r}" in printed
    assert "stages.first.module.lr (and 1 like it)  0.05  0.04  default | command line" in printed


def test_a_seed(runs) -> None:
    found = compared(runs, "base", "seed")
    assert not found.settings
    assert [(seed.what, seed.a, seed.b) for seed in found.seeds] == [("seed", 0, 2)]
    assert [pair.relation for pair in found.stages] == ["differs in seed"] * 2 + ["differs in seed, its input first"]
    assert [curve.stage for curve in found.curves] == ["first", "other"]


def test_a_stage_that_one_run_lacks(runs) -> None:
    found = compared(runs, "base", "less")
    assert [(each.what, each.a, each.b) for each in found.settings] == [("stages.check", "test", None)]
    assert [pair.stage for pair in found.stages] == ["first", "other"]


def test_a_stage_that_has_not_finished(runs, copy) -> None:
    (copy / "artefacts" / "check").unlink()
    found = differences((runs / "base").resolve(), copy)
    assert found.stages[2].relation == "not finished in B"
    assert not found.none


def test_a_curve_that_leaves_at_a_step(runs, copy) -> None:
    path = copy / "artefacts" / "other" / "curves.csv"
    lines = path.read_text().splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith("6,train/loss"))
    before = float(lines[place].rpartition(",")[2])
    lines[place] = "6,train/loss,nan"
    lines[-1] = f"{lines[-1].rpartition(',')[0]},123.0"
    path.write_text("\n".join(lines) + "\n")
    found = differences((runs / "base").resolve(), copy)
    assert [(curve.stage, curve.step, curve.equal) for curve in found.curves] == [
        ("first", None, len(lines) - 1),
        ("other", 6, place - 1),
    ]
    parted = found.curves[1]
    assert (parted.name, parted.a) == ("train/loss", before)
    assert parted.b != parted.b
    assert json.loads(json.dumps(found.to_plain(), allow_nan=False))["curves"][1]["b"] == "nan"
    assert not found.none


def test_another_machine(runs, copy, capsys) -> None:
    for path in copy.glob("artefacts/*/artefact.json"):
        manifest = json.loads(path.read_text())
        manifest["made"]["environment"]["packages"]["torch"] = "0.1"
        manifest["made"]["environment"]["commit"] = "f" * 40
        if path.parent.name == "first":
            manifest["made"]["threads"] = 77
            manifest["files"]["weights.safetensors"]["sha256"] = "0"
        path.write_text(json.dumps(manifest))
    found = differences((runs / "base").resolve(), copy)
    assert [(each.what, each.b, each.where) for each in found.packages] == [("packages.torch", "0.1", STAGES)]
    assert [(each.what, each.b, each.where) for each in found.code] == [("commit", "f" * 40, STAGES)]
    assert [(each.what, each.b, each.where) for each in found.machine] == [("threads", 77, "first")]
    assert [pair.relation.partition(", with")[2] for pair in found.stages] == [
        " another weights.safetensors",
        " equal files",
        " equal files",
    ]
    environment = json.loads((copy / "environment.json").read_text())
    environment["packages"]["torch"] = "0.1"
    (copy / "environment.json").write_text(json.dumps(environment))
    assert differences((runs / "base").resolve(), copy).packages[0].where == "everywhere"
    assert main(["why", str(runs / "base"), str(copy)]) == 0
    assert "\ntorch" in capsys.readouterr().out


STAGES = "first, other, check"


def test_data_that_changed_under_one_name(runs, copy) -> None:
    path = copy / "artefacts" / "first" / "artefact.json"
    manifest = json.loads(path.read_text())
    manifest["stage"]["data"] |= {"fingerprint": "abc", "version": 9}
    path.write_text(json.dumps(manifest | {"key": "another"}))
    found = differences((runs / "base").resolve(), copy)
    assert [(each.what, each.a, each.b, each.where) for each in found.data] == [
        ("data fingerprint", None, "abc", "first")
    ]
    assert [(each.what, each.b) for each in found.code] == [("data version", 9)]
    assert found.stages[0].relation == "differs in data.version, data.fingerprint"


def test_json_without_torch(runs) -> None:
    code = (
        "import sys; from lab.cli import main; main(sys.argv[1:]); "
        "print({'torch', 'lightning', 'matplotlib'} & set(sys.modules), file=sys.stderr)"
    )
    words = ["why", "base", "lr", "--json", "--runs-dir", str(runs)]
    done = subprocess.run([sys.executable, "-c", code, *words], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stderr == "set()\n"
    found = json.loads(done.stdout)
    assert found == compared(runs, "base", "lr").to_plain() | {"runs": ["base", "lr"]}
    assert found["settings"][0]["b"] == 0.04


def test_an_unknown_run(runs, capsys) -> None:
    assert main(["why", "base", "nope", "--runs-dir", str(runs)]) == 2
    assert "no run 'nope'" in capsys.readouterr().err


def read(run: Path, stage: str) -> dict[tuple[int, str], float]:
    lines = (run / "artefacts" / stage / "curves.csv").read_text().splitlines()[1:]
    return {(int(step), name): float(value) for step, name, value in (line.split(",") for line in lines)}
