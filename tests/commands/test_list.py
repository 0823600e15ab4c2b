from __future__ import annotations

import lab
from lab.cli import main
from lab.commands.list import columns
from tests.config.fake_paper import EXPERIMENT, fake_plugin, write

__all__ = ["fake_plugin", "write"]


def test_all_sections(write, capsys, monkeypatch) -> None:
    monkeypatch.setattr(lab, "__file__", "/nowhere/lab/__init__.py")  # the shipped experiments are not its matter
    write(EXPERIMENT + "kind: real\ndescription: |\n  What it shows.\n  More.\n", "experiments/one.yaml")
    write(EXPERIMENT.replace("rho: 0.95", "root: /here"), "experiments/here.yaml")
    write(EXPERIMENT.replace("rho: 0.95", "stand_in: true"), "experiments/mini.yaml")
    write(EXPERIMENT.replace("name: toy, rho: 0.95", "name: grid"), "experiments/grid.yaml")
    write("name: x\ndata: {name: toys}\n", "experiments/wrong.yaml")
    assert main(["list"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "papers",
        "  fake  a paper for tests",
        "experiments",
        "  grid   embedded  ready",
        "  here   embedded  ready",
        "  mini   embedded  ready",
        "  one    real      missing  What it shows.",
        "  wrong  broken             experiments/wrong.yaml:2: data.name: unknown data 'toys'; did you mean 'toy'?",
        "data",
        "  toy  missing  toy images",
        "modules",
        "  classifier  classifies",
        "  sampler     samples",
        "missing: `lab data get NAME` says how to get a data set; `--profile smoke` needs none",
    ]


def test_one_section(write, capsys) -> None:
    assert main(["list", "modules"]) == 0
    assert capsys.readouterr().out == "modules\n  classifier  classifies\n  sampler     samples\n"
    assert main(["list", "models"]) == 2


def test_columns() -> None:
    assert list(columns([("a", "bb"), ("ccc", "")])) == ["a    bb", "ccc"]
    assert list(columns([])) == []
