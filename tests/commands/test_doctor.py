from __future__ import annotations

from importlib import metadata

from lab.cli import main
from lab.commands import doctor


def test_it_names_devices_packages_and_data(capsys, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("LAB_DATA", str(tmp_path))
    monkeypatch.setattr(
        metadata,
        "requires",
        lambda _: ["torch>=2", "numpy>=1; extra == 'a'", "not-there-9>1; extra == 'a'", "x; extra == 'dev'"],
    )
    monkeypatch.setattr(doctor, "NOT_ON_PYPI", {"no_such_package": "what it is for"})
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "cores" in out and str(tmp_path) in out
    assert "missing: not-there-9" in out and "lab[dev]" not in out
    assert "missing: what it is for" in out
    assert "waterbirds" not in out.partition("ready  ")[2].partition("\n")[0]


def test_an_extra_is_ready_when_all_its_packages_are(capsys, monkeypatch) -> None:
    monkeypatch.setattr(metadata, "requires", lambda _: ["numpy>=1; extra == 'a'"])
    assert main(["doctor"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if "lab[a]" in line)
    assert line.split() == ["lab[a]", "ready"]


def test_a_source_tree_that_is_not_installed(capsys, monkeypatch) -> None:
    def absent(_: str) -> list[str]:
        raise metadata.PackageNotFoundError("lab")

    monkeypatch.setattr(metadata, "requires", absent)
    assert main(["doctor"]) == 0
    assert "lab[" not in capsys.readouterr().out.partition("optional packages")[2]
