"""`lab predict`: apply a run's model to a folder of one's own images."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="run folder, id, beginning of an id, or experiment name")
    parser.add_argument(
        "--input", required=True, type=Path, metavar="DIR", help="folder of images, searched recursively"
    )
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="folder for predictions.csv")
    parser.add_argument(
        "--stage", metavar="NAME", help="fit stage whose model answers; default: the experiment's choice"
    )
    parser.add_argument("--runs-dir", type=Path, help="folder of runs; default LAB_RUNS")
    parser.add_argument(
        "overrides", nargs="*", default=[], metavar="key=value", help="run-time options, e.g. trainer.accelerator=cpu"
    )


def run(args: argparse.Namespace) -> int:
    from lab.commands.common import open_run

    path, experiment = open_run(args.run, args.runs_dir, args.overrides)
    from lab.stages.apply import predict_folder

    done = predict_folder(path, experiment, args.input, args.output, stage=args.stage)
    print(done)
    return 0
