"""The commands around training, on a classifier of drawn shapes and on a plugin of somebody else."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lab.cli import main
from tests.stages.toy import fit, installed

SHAPES = """
name: shapes_small
data: {name: shapes, classes: 3, train: 48, val: 12, test: 24, image_size: 12}
trainer: {max_epochs: 1, batch_size: 16, eval_batch_size: 16, accelerator: cpu}
predict: {model: plain, bias: amplifier}
report: {headline: [accuracy]}
stages:
  plain: {verb: fit, module: {name: classifier, network: {arch: cnn, arch_options: {width: 4}}}}
  amplifier: {verb: fit, seed: 1, module: {name: classifier, network: {arch: cnn, arch_options: {width: 4}}}}
  plain_test: {verb: test, weights: plain}
  amplifier_test: {verb: test, weights: amplifier}
"""


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of runs with a finished one, and beside it one that is not trained."""
    folder = tmp_path_factory.mktemp("shapes")
    (folder / "small.yaml").write_text(SHAPES)
    assert fit(folder / "runs", config=folder / "small.yaml") == 0
    return folder


@pytest.fixture
def lab(shapes: Path, capsys):
    """Status, stdout and stderr of a command on those runs."""

    def run(*argv: str) -> tuple[int, str, str]:
        status = main([*argv, "--runs-dir", str(shapes / "runs")])
        return status, *capsys.readouterr()

    return run


def numbers(table: str) -> dict[str, float]:
    """First number behind each method of a printed table."""
    rows = (re.match(r"(.*?)\s{2,}([\d.]+)", line) for line in table.splitlines())
    return {row[1]: float(row[2]) for row in rows if row}


def test_evaluate(lab, shapes) -> None:
    status, out, err = lab("evaluate", "shapes_small")
    assert status == 0
    assert "[1/4] plain: cached" in err
    assert err.splitlines()[-1].endswith("split test:")
    assert numbers(out).keys() == {"plain test", "amplifier test"}


def test_evaluate_another_split(lab, shapes) -> None:
    status, out, err = lab("evaluate", "shapes_small", "--split", "val", "--stage", "plain")
    assert status == 0
    assert "[2/2] plain_test@val: test (" in err
    assert len(numbers(out)) == 1
    (count,) = numbers(out).values()
    assert count / 100 * 12 == pytest.approx(round(count / 100 * 12), abs=0.01)  # 12 validation rows
    assert "plain_test@val: cached" in lab("evaluate", "shapes_small", "--split", "val", "--stage", "plain")[2]


def test_evaluate_what_is_not_there(lab, shapes) -> None:
    assert lab("evaluate", "nothing")[2].startswith("lab: error: no run 'nothing' under ")
    status, _, err = lab("evaluate", "shapes_small", "--stage", "plan")
    assert (status, err) == (
        2,
        "lab: error: 'plan' is not a tested model of shapes_small; there are: plain, amplifier\n",
    )


def test_evaluate_what_is_not_trained(lab, shapes, monkeypatch, capsys) -> None:
    config = shapes / "another.yaml"
    config.write_text(SHAPES.replace("shapes_small", "another").replace("train: 48", "train: 32"))
    with monkeypatch.context() as patch:
        patch.setattr("lab.stages.runner.run_stage", lambda *_, **__: pytest.fail("stopped"))
        with pytest.raises(BaseException, match="stopped"):
            fit(shapes / "runs", config=config)
    status, _, err = lab("evaluate", "another")
    *_, line = err.splitlines()
    assert status == 2
    assert re.fullmatch(
        r"lab: error: run another-seed0-\w+: not trained yet: plain, amplifier \(trained: none\); "
        r"finish it with `lab fit --config .*/config.yaml`",
        line,
    )
    assert lab("predict", "another", "--input", str(shapes), "--output", str(shapes / "out"))[0] == 2


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for place in range(5):
        pixels = np.random.default_rng(place).integers(0, 255, (20, 30, 3), dtype=np.uint8)
        path = tmp_path / "photos" / ("deep" if place > 2 else ".") / f"{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return tmp_path / "photos"


def test_predict(lab, photos, tmp_path) -> None:
    status, out, _ = lab("predict", "shapes_small", "--input", str(photos), "--output", str(tmp_path / "out"))
    assert status == 0
    assert out.startswith("5 images -> ")
    with (tmp_path / "out" / "predictions.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert [row["file"] for row in rows] == ["0.png", "1.png", "2.png", "deep/3.png", "deep/4.png"]
    for row in rows:
        chances = {name[2:-1]: float(value) for name, value in row.items() if name.startswith("p(")}
        assert chances.keys() == {"disc", "square", "triangle"}
        assert sum(chances.values()) == pytest.approx(1, abs=1e-5)
        assert row["class"] == max(chances, key=chances.__getitem__)
        assert row["pseudo_bias"] == ("aligned" if row["biased_class"] == row["class"] else "conflicting")
    before = (tmp_path / "out" / "predictions.csv").read_text()
    assert lab("predict", "shapes_small", "--input", str(photos), "--output", str(tmp_path / "out"))[0] == 0
    assert (tmp_path / "out" / "predictions.csv").read_text() == before
    assert (
        lab("predict", "shapes_small", "--stage", "amplifier", "--input", str(photos), "--output", str(tmp_path))[0]
        == 0
    )
    assert (tmp_path / "predictions.csv").read_text() != before


def test_predict_bad_input(lab, photos, tmp_path) -> None:
    def line(*argv: str) -> str:
        status, out, err = lab("predict", "shapes_small", *argv, "--output", str(tmp_path / "out"))
        assert (status, out) == (2, "")
        assert not (tmp_path / "out").exists()
        (only,) = err.splitlines()
        return only.removeprefix("lab: error: ")

    assert line("--input", str(tmp_path / "nowhere")) == f"--input {tmp_path / 'nowhere'}: no such folder"
    (tmp_path / "empty").mkdir()
    assert line("--input", str(tmp_path / "empty")).startswith(f"no images below {tmp_path / 'empty'}: looked for .bmp")
    unknown = line("--input", str(photos), "--stage", "plan")
    assert re.fullmatch(r"run shapes_small-seed0-\w+ has no finished stage 'plan'; it has: .*", unknown)
    assert "holds no weights; name a fit stage" in line("--input", str(photos), "--stage", "plain_test")
    (photos / "torn.png").write_bytes((photos / "0.png").read_bytes()[:200])
    assert "torn.png" in line("--input", str(photos))


def test_a_package_of_somebody_else(capsys, tmp_path) -> None:
    with installed():
        assert main(["list"]) == 0
        out = capsys.readouterr().out
        for text in ("toy  ", "linear regression, for tests", "toy_line", "toy/linear", "linear model"):
            assert text in out
        assert main(["show", "toy_line"]) == 0
        out = capsys.readouterr().out
        assert "name: toy/linear" in out
        assert re.search(r"#   table +predict +weights: first +to run", out)
        assert fit(tmp_path) == 0
        assert main(["show", "toy_line", f"runs_dir={tmp_path}"]) == 0
        assert len(re.findall(r"cached as \w{20}", capsys.readouterr().out)) == 4
        assert main(["evaluate", "toy_line", "--runs-dir", str(tmp_path), "--split", "val"]) == 0
        assert "second test" in capsys.readouterr().out
        assert main(["predict", "toy_line", "--runs-dir", str(tmp_path), "--input", ".", "--output", "."]) == 2
        assert capsys.readouterr().err == "lab: error: toy_line doesn't say which model predicts: give --stage NAME\n"
    assert main(["show", "toy_line"]) == 2
