"""`lab report`: tables, claims and pictures of finished runs, as HTML and Markdown."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="run folder, id, beginning of an id, or experiment name (its newest run)"
    )
    parser.add_argument("--runs-dir", type=Path, metavar="DIR", help="folder of runs; default LAB_RUNS")


def run(args: argparse.Namespace) -> int:
    from lab import env
    from lab.reports import claims_text, results_table, write_report
    from lab.stages.record import find_run

    found = [find_run(name, args.runs_dir or env.RUNS.path()) for name in args.runs]
    for place, path in enumerate(found):
        report = write_report(path)
        if place:
            print()
        print(f"{path.name}\n\n{results_table(path).text()}\n")
        print(f"{claims_text(path)}\nreport  {report}")
    return 0
