"""`lab show`: an experiment as it would run. What it prints is YAML that `--config` takes."""

from __future__ import annotations

import argparse

from lab.commands.list import columns
from lab.config import resolve


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", metavar="CONFIG", help="experiment file, or the name of a shipped one")
    parser.add_argument(
        "overrides", nargs="*", default=[], metavar="key=value", help="e.g. seed=1 stages.erm.module.lr=1e-4"
    )
    parser.add_argument("--profile", action="append", default=[], metavar="NAME", help="e.g. smoke")
    parser.add_argument("--origin", action="store_true", help="say behind each value where it comes from")


def run(args: argparse.Namespace) -> int:
    resolved = resolve(args.config, profiles=args.profile, overrides=args.overrides)
    print(resolved.to_yaml(origins=args.origin))
    from lab.stages.graph import plan

    rows = []
    for node in plan(resolved.experiment):
        reads = ", ".join(f"{role}: {source}" for role, source in node.inputs.items())
        state = f"cached as {node.key}" if node.cached else "to run" if node.key else "to run; its data is not here yet"
        rows.append((node.name, node.stage.verb, reads, state))
    print("# stages, in order: verb, what they read, state")
    for line in columns(rows):
        print(f"#   {line}")
    return 0
