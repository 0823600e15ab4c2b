from __future__ import annotations

import subprocess
import sys
import types

import pytest

import lab
from lab import cli
from lab.errors import ConfigError, Interrupted, Problem, UserError


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch):
    """Puts a function in place of `lab fit`; returns the arguments it was called with."""
    seen: list = []

    def install(action=lambda args: 0, add=None):
        def run(args):
            seen.append(args)
            return action(args)

        def add_arguments(parser):
            parser.add_argument("--config", required=True)
            parser.add_argument("--profile", action="append", default=[])
            parser.add_argument("overrides", nargs="*", default=[])

        module = types.SimpleNamespace(run=run, add_arguments=add or add_arguments)
        monkeypatch.setitem(sys.modules, "lab.commands.fit", module)
        return seen

    return install


def raising(error: BaseException):
    def action(args):
        raise error

    return action


def test_overrides_and_options_mix_freely(verb) -> None:
    seen = verb()
    assert cli.main(["fit", "seed=1", "--config", "x", "a.b=2", "--profile", "smoke", "c=-3", "--profile=p"]) == 0
    (args,) = seen
    assert args.overrides == ["seed=1", "a.b=2", "c=-3"]
    assert (args.config, args.profile) == ("x", ["smoke", "p"])


def test_a_verb_may_have_verbs_of_its_own(verb) -> None:
    def add(parser):
        parser.add_subparsers(dest="action").add_parser("get").add_argument("name")

    seen = verb(add=add)
    assert cli.main(["fit", "get", "toy"]) == 0
    assert seen[0].name == "toy"


@pytest.mark.parametrize(
    ("error", "status", "lines"),
    [
        (UserError("no such run"), 2, ["lab: error: no such run"]),
        (
            ConfigError([Problem("x.yaml:1", "a", "bad"), Problem("command line", "", "worse")]),
            2,
            ["lab: error: x.yaml:1: a: bad", "lab: error: command line: worse"],
        ),
        (Interrupted(15, "stopped; the same command goes on"), 143, ["lab: stopped; the same command goes on"]),
        (KeyboardInterrupt(), 130, []),
        (
            ZeroDivisionError("by\nzero"),
            1,
            ["lab: error: internal error: ZeroDivisionError: by (set LAB_TRACEBACK=1 to see where)"],
        ),
    ],
)
def test_errors_become_lines_and_a_status(verb, capsys, error, status, lines) -> None:
    verb(raising(error))
    assert cli.main(["fit", "--config", "x"]) == status
    out, err = capsys.readouterr()
    assert (out, err.splitlines()) == ("", lines)


def test_a_traceback_is_shown_on_request(verb, capsys, monkeypatch) -> None:
    monkeypatch.setenv("LAB_TRACEBACK", "1")
    verb(raising(ZeroDivisionError("by zero")))
    assert cli.main(["fit", "--config", "x"]) == 1
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert err.endswith("lab: error: internal error: ZeroDivisionError: by zero\n")


@pytest.mark.parametrize("argv", [["fit"], ["fit", "--config"], ["fit", "--config", "x", "--nope"], ["--nope"], []])
def test_usage_errors_have_status_2(verb, capsys, argv) -> None:
    verb()
    assert cli.main(argv) == 2
    assert "usage: lab" in capsys.readouterr().err


def test_an_unknown_verb(capsys) -> None:
    assert cli.main(["fitt"]) == 2
    assert capsys.readouterr().err == "lab: error: unknown verb 'fitt'; did you mean 'fit' or 'list'?\n"


def test_help_and_version(verb, capsys) -> None:
    assert cli.main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"\n    {verb} " in text for verb in cli.VERBS)
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"lab {lab.__version__}\n"
    verb()
    assert cli.main(["fit", "--help"]) == 0
    assert "usage: lab fit" in capsys.readouterr().out


HEAVY = "{'torch', 'lightning', 'diffusers', 'timm', 'torchmetrics', 'sklearn', 'matplotlib', 'pyarrow'}"


@pytest.mark.parametrize("argv", [["--help"], ["list"], ["list", "modules"], ["show", "--help"], ["fit", "--help"]])
def test_answers_without_importing_torch(argv) -> None:
    check = f"print(status, {HEAVY} & set(sys.modules), file=sys.stderr)"
    code = f"import sys; from lab.cli import main; status = main({argv!r}); {check}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "0 set()\n"
    assert done.stdout


def test_a_closed_pipe_is_quiet() -> None:
    command = f"'{sys.executable}' -m lab list | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.stderr == ""
    assert done.returncode in (0, 141)  # 0 when the pipe was closed after the last line
