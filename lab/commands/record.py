"""`lab record`: keep what finished runs found as a small file under experiments/results/."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", metavar="RUN", help="runs of one experiment that differ in their seed alone")
    parser.add_argument("--output", type=Path, metavar="FILE", help="default experiments/results/NAME.json")
    parser.add_argument("--runs-dir", type=Path, metavar="DIR", help="folder of runs; default LAB_RUNS")


def run(args: argparse.Namespace) -> int:
    from lab import env
    from lab.reports.recorded import Recorded, record
    from lab.reports.run import Run
    from lab.stages.files import write_json
    from lab.stages.record import find_run

    runs = [Run(find_run(name, args.runs_dir or env.RUNS.path())) for name in args.runs]
    content = record(runs)
    output = args.output or Path("experiments") / "results" / f"{content['name']}.json"
    output.parent.mkdir(parents=True, exist_ok=True)
    write_json(output, content)
    recorded = Recorded(content)
    print(f"{recorded.table().text()}\n")
    print(f"{recorded.claims().text()}\n")
    print(f"{len(runs)} runs -> {output}; `make pages` brings it into the README and the paper's page")
    return 0
