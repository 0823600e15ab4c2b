"""`lab fit`: run an experiment, or what is left of it."""

from __future__ import annotations

import argparse
import time
from contextlib import suppress

from lab.errors import Interrupted, UserError
from lab.stages.execute import execute, say, world_of
from lab.stages.files import disk_errors
from lab.stages.graph import plan, runs_dir
from lab.stages.loggers import Tracking
from lab.stages.record import RunRecord
from lab.stages.store import Store
from lab.stages.world import World, agree, launch, started_by_launcher, this_command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", required=True, metavar="FILE", help="experiment file, or the name of a shipped one")
    parser.add_argument(
        "--profile", action="append", default=[], metavar="NAME", help="e.g. smoke: a miniature in a minute"
    )
    parser.add_argument(
        "overrides", nargs="*", default=[], metavar="key=value", help="e.g. seed=1 stages.erm.module.lr=1e-4"
    )


def run(args: argparse.Namespace) -> int:
    from lab.config import resolve

    resolved = resolve(args.config, profiles=args.profile, overrides=args.overrides)
    experiment = resolved.experiment
    trainer, tracking = experiment.trainer, Tracking.of(experiment)
    begun = time.monotonic()
    world, nodes = World(), [] if started_by_launcher() else plan(experiment, prepare=True)
    if not nodes or not all(node.cached for node in nodes):
        if not started_by_launcher():  # data errors came before torch is loaded
            if trainer.nodes > 1:
                raise UserError(f"trainer.nodes={trainer.nodes}: start one process per device with srun or torchrun")
            if trainer.devices > 1:
                return launch(trainer.devices, this_command())
        world = world_of(experiment)
        nodes = agree(nodes or (plan(experiment, prepare=True) if world.is_first else None), world)
    store = Store(runs_dir(experiment))
    if not world.is_first:
        execute(nodes, store, world, tracking=tracking)
        return 0
    with disk_errors("the run's record", store.root):
        record = RunRecord.open(resolved, store.root, computes=not all(node.cached for node in nodes))
        try:
            execute(
                nodes,
                store,
                world,
                lambda node, artefact, ran: record.add(node, artefact, ran=ran),
                tracking=tracking,
            )
        except BaseException as error:
            with suppress(OSError):  # a full disk may be why we are here
                record.finish("interrupted" if isinstance(error, (Interrupted, KeyboardInterrupt)) else "failed")
            raise
        record.finish("finished")
        if all(stage["state"] == "cached" for stage in record.content["stages"].values()):
            say(f"everything is cached; nothing was trained ({time.monotonic() - begun:.1f} s)")
        from lab.reports import claims_text, results_table, write_report

        report = write_report(record.path)
        print(f"{results_table(record.path).text()}\n\n{claims_text(record.path)}\n")
        print(f"run     {record.path}\nreport  {report}")
    return 0
