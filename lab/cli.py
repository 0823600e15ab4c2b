"""`lab VERB …`: finds the verb's module, parses its arguments, and turns errors into lines and an exit status."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module

from lab import __version__, env
from lab.errors import Interrupted, LabError, UserError, did_you_mean

VERBS = {
    "list": "papers, experiments, data sets and modules; what is ready and what is missing",
    "show": "an experiment as it would run: every value, its origin, the stages",
    "fit": "run an experiment, or what is left of it",
    "sweep": "many runs: grids, seeds, searches; status, retry, cancel, collect",
    "evaluate": "test the trained models of a run",
    "predict": "apply a run's model to a folder of your own images",
    "report": "write the report of a run, a sweep, or all runs",
    "why": "what tells two runs apart, and where their curves part",
    "data": "get, place and verify data sets",
    "doctor": "what this machine can run: devices, optional packages, data sets, SLURM",
    "reproduce": "run a recorded result again and say how far it is off",
    "record": "keep the results of finished runs or sweeps beside the experiments",
}
"""verb -> its line in `lab --help`. `lab/commands/VERB.py` has `add_arguments(parser)` and `run(args) -> int`."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status: 0, 1 for a failure, 2 for something wrong in what the user gave."""
    try:
        status = _dispatch(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
        return status
    except SystemExit as leave:  # argparse, after --help or a usage error
        return leave.code if isinstance(leave.code, int) else 0
    except BrokenPipeError:  # the reader of a pipe has seen enough; keep the interpreter's own flush quiet
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13
    except KeyboardInterrupt:
        return 130
    except Interrupted as stop:
        print(f"lab: {stop}", file=sys.stderr)
        return stop.exit_status
    except LabError as error:
        _say(error, str(error).splitlines())
        return error.exit_status
    except Exception as error:
        what = f"internal error: {type(error).__name__}: {str(error).partition(chr(10))[0]}"
        _say(error, [what if env.TRACEBACK.get() else f"{what} (set {env.TRACEBACK.name}=1 to see where)"])
        return 1


def _dispatch(argv: list[str]) -> int:
    width = max(map(len, VERBS))
    listed = "\n".join(f"    {verb:{width}}  {line}" for verb, line in VERBS.items())
    top = argparse.ArgumentParser(
        prog="lab",
        description=f"Ten papers as experiments that train, resume, compare and extend.\n\nverbs:\n{listed}",
        epilog="lab VERB --help says more of a verb.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"lab {__version__}")
    verbs = top.add_subparsers(metavar="VERB", dest="verb", help="one of these")
    for verb in VERBS:
        verbs.add_parser(verb)
    if not argv or argv[0].startswith("-"):
        top.parse_args(argv)
        top.print_help(sys.stderr)
        return UserError.exit_status
    verb, rest = argv[0], argv[1:]
    if verb not in VERBS:
        raise UserError(f"unknown verb '{verb}'{did_you_mean(verb, list(VERBS))}")
    module = import_module(f"lab.commands.{verb}")
    parser = argparse.ArgumentParser(prog=f"lab {verb}", description=VERBS[verb], allow_abbrev=False)
    module.add_arguments(parser)
    # Intermixed, so that key=value may stand anywhere; argparse can't do that where a verb has verbs of its own.
    nested = parser._subparsers is not None
    args = parser.parse_args(rest) if nested else parser.parse_intermixed_args(rest)
    return int(module.run(args))


def _say(error: BaseException, lines: Sequence[str]) -> None:
    if env.TRACEBACK.get():
        traceback.print_exception(error)
    for line in lines:
        print(f"lab: error: {line}", file=sys.stderr)
