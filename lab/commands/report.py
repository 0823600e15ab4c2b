"""`lab report`: tables, claims, plots and pictures of a run, of a sweep or of all runs, as HTML and Markdown."""

from __future__ import annotations

import argparse
from pathlib import Path

from lab.errors import UserError

ALL = "all"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "names",
        nargs="+",
        metavar="RUN|SWEEP|all",
        help="run or sweep by folder, id or beginning of an id; an experiment for its newest run; `all`: every run",
    )
    parser.add_argument("--runs-dir", type=Path, metavar="DIR", help="folder of runs; default LAB_RUNS")


def run(args: argparse.Namespace) -> int:
    from lab import env

    for place, name in enumerate(args.names):
        if place:
            print()
        print(_report(name, args.runs_dir or env.RUNS.path()))
    return 0


def _report(name: str, runs_dir: Path) -> str:
    """Write one report; returns what to print of it."""
    from lab.reports import claims_text, results_table
    from lab.reports.page import write_full_report, write_report, write_sweep_report
    from lab.stages.record import find_run
    from lab.sweeps.plan import find_sweep
    from lab.sweeps.summary import summary

    if name == ALL:
        return f"report  {write_full_report(runs_dir)}"
    try:
        path = find_run(name, runs_dir)
    except UserError as no_run:
        try:
            sweep = find_sweep(name, runs_dir)
        except UserError:
            raise UserError(f"{no_run}; nor is it one sweep") from None
        return f"{sweep.id}\n\n{summary(sweep)}\n\nreport  {write_sweep_report(sweep)}"
    report = write_report(path)
    return f"{path.name}\n\n{results_table(path).text()}\n\n{claims_text(path)}\nreport  {report}"
