"""`lab record`: keep what finished runs found as small files under experiments/results/."""

from __future__ import annotations

import argparse
from pathlib import Path

from lab import env
from lab.errors import UserError
from lab.reports.groups import groups
from lab.reports.ledger import claims_text
from lab.reports.recorded import paths, record
from lab.reports.run import Run
from lab.reports.tables import results_table
from lab.stages.files import write_json
from lab.stages.record import RUN, find_run
from lab.sweeps.plan import find_sweep


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "results", nargs="+", metavar="RUN|SWEEP", help="runs, or sweeps for all their runs; one file a setting"
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="of a single setting; default under experiments/results/"
    )
    parser.add_argument("--partial", action="store_true", help="leave unfinished runs out instead of refusing")
    parser.add_argument("--runs-dir", type=Path, metavar="DIR", help="folder of runs; default LAB_RUNS")


def run(args: argparse.Namespace) -> int:
    runs_dir = args.runs_dir or env.RUNS.path()
    folders = dict.fromkeys(path for name in args.results for path in _find(name, runs_dir))
    found = groups(_finished(list(folders), args.partial))
    if args.output and len(found) > 1:
        labels = "; ".join(f"{group.name} {group.label}".strip() for group in found)
        raise UserError(f"--output takes one setting, these runs are of {len(found)}: {labels}")
    for group, path in zip(found, [args.output] if args.output else paths(found), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, record(group))
        print("\n\n".join(filter(None, [results_table(group).text(), claims_text(group)])))
        print(f"\n{f'{group.name} {group.label}'.strip()}, seeds {', '.join(map(str, group.seeds))} -> {path}\n")
    print("`make pages` brings them into the README and the paper's page")
    return 0


def _find(name: str, runs_dir: Path) -> list[Path]:
    """The folder of a run, or those of a sweep's runs, there or not."""
    try:
        return [find_run(name, runs_dir)]
    except UserError as no_run:
        try:
            return find_sweep(name, runs_dir).run_paths()
        except UserError:
            raise no_run from None


def _finished(folders: list[Path], partial: bool) -> list[Run]:
    """The finished ones among run folders.

    Raises:
        UserError: some are not finished, and that is not allowed; or none is.
    """
    found = [Run(path) for path in folders if (path / RUN).exists()]
    finished = [run for run in found if run.record["status"] == "finished"]
    left = len(folders) - len(finished)
    if not finished:
        raise UserError(f"none of {len(folders)} runs is finished: nothing to record")
    if left and not partial:
        raise UserError(f"{left} of {len(folders)} runs are not finished; --partial records the other {len(finished)}")
    return finished
