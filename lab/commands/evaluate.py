"""`lab evaluate`: test the trained models of a run on a split."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from lab.config.schema import Experiment, StageConfig
from lab.errors import UserError
from lab.stages.execute import execute, say, world_of
from lab.stages.graph import needed_for, plan, runs_dir
from lab.stages.loggers import Tracking
from lab.stages.store import Store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="run folder, id, beginning of an id, or experiment name")
    parser.add_argument("--split", choices=("train", "val", "test"), default="test")
    parser.add_argument(
        "--stage", action="append", metavar="NAME", help="fit stage to test; default: all that are tested"
    )
    parser.add_argument("--runs-dir", type=Path, help="folder of runs; default LAB_RUNS")
    parser.add_argument(
        "overrides", nargs="*", default=[], metavar="key=value", help="run-time options, e.g. trainer.accelerator=cpu"
    )


def run(args: argparse.Namespace) -> int:
    from lab.commands.common import open_run
    from lab.reports.tables import metrics_table

    path, experiment = open_run(args.run, args.runs_dir, args.overrides)
    tests = tests_of(experiment, args.split, args.stage)
    wanted = replace(experiment, stages={**experiment.stages, **tests})
    nodes = needed_for(plan(wanted, prepare=True), tests)
    missing = [node.name for node in nodes if node.name not in tests and not node.cached]
    if missing:
        trained = [name for name, stage in experiment.stages.items() if stage.verb == "fit" and name not in missing]
        raise UserError(
            f"run {path.name}: not trained yet: {', '.join(missing)} (trained: {', '.join(trained) or 'none'}); "
            f"finish it with `lab fit --config {path / 'config.yaml'}`"
        )
    tracking = Tracking.of(experiment)
    artefacts = execute(nodes, Store(runs_dir(experiment)), world_of(experiment), tracking=tracking)
    say(f"{path.name}, split {args.split}:")
    rows = {str(tests[name].title): artefacts[name].metrics for name in tests}
    print(metrics_table(rows, experiment.report.headline).text())
    return 0


def tests_of(experiment: Experiment, split: str, chosen: list[str] | None) -> dict[str, StageConfig]:
    """The experiment's test stages, by name, on a split; those of the chosen models only, where some are."""
    tested = {name: stage for name, stage in experiment.stages.items() if stage.verb == "test" and stage.weights}
    models = list(dict.fromkeys(str(stage.weights) for stage in tested.values()))
    if not tested:
        raise UserError(f"{experiment.name} has no test stage, so there is nothing to evaluate")
    for model in chosen or []:
        if model not in models:
            raise UserError(f"'{model}' is not a tested model of {experiment.name}; there are: {', '.join(models)}")
    return {
        f"{name}@{split}": replace(stage, split=split, title=stage.title or name.replace("_", " "))  # type: ignore[arg-type]
        for name, stage in tested.items()
        if not chosen or stage.weights in chosen
    }
