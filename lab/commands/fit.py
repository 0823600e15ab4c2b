"""`lab fit`: run an experiment, or what is left of it."""

from __future__ import annotations

import argparse
import time
from typing import Any

from lab.errors import Interrupted, LabError
from lab.stages.execute import execute, say, world_of
from lab.stages.graph import Node, plan, runs_dir
from lab.stages.record import RunRecord
from lab.stages.store import Store
from lab.stages.world import agree, launch, started_by_launcher, this_command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", required=True, metavar="FILE", help="experiment file, or the name of a shipped one")
    parser.add_argument("--profile", action="append", default=[], metavar="NAME", help="e.g. smoke: a miniature in a minute")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="e.g. seed=1 stages.erm.module.lr=1e-4")


def run(args: argparse.Namespace) -> int:
    from lab.config import resolve

    resolved = resolve(args.config, profiles=args.profile, overrides=args.overrides)
    experiment = resolved.experiment
    nodes = plan(experiment, prepare=True) if not started_by_launcher() else []  # data errors before torch is loaded
    if experiment.trainer.devices > 1 and not started_by_launcher():
        return launch(experiment.trainer.devices, this_command())
    begun = time.monotonic()
    if nodes and all(node.cached for node in nodes):
        from lab.stages.world import World

        world = World()
    else:
        world = world_of(experiment)
        nodes = agree(nodes or (plan(experiment, prepare=True) if world.is_first else None), world)
    store = Store(runs_dir(experiment))
    record = RunRecord.open(resolved, store.root) if world.is_first else None
    ran: list[str] = []

    def done(node: Node, artefact: Any, here: bool) -> None:
        assert record is not None
        record.add(node, artefact, ran=here)
        if here:
            ran.append(node.name)

    try:
        execute(nodes, store, world, done)
    except LabError as error:
        if record is not None:
            record.finish("interrupted" if isinstance(error, Interrupted) else "failed")
        raise
    if record is None:
        return 0
    record.finish("finished")
    if not ran:
        say(f"everything is cached; nothing was trained ({time.monotonic() - begun:.1f} s)")
    from lab.reports import results_table, write_report

    report = write_report(record.path)
    print(results_table(record.path).text())
    print(f"run     {record.path}\nreport  {report}")
    return 0
