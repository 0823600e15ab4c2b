"""`lab reproduce`: run a recorded result again, from its file alone, and say how far it is off."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from lab import env
from lab.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from lab.reports.recorded import Recorded


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="a file that `lab record` wrote, or its name without .json")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="where and how fast, e.g. data.root=/data")
    parser.add_argument("--seeds", metavar="0,1", help="only these of the recorded seeds")
    parser.add_argument("--executor", default="local", metavar="NAME", help="local (default) or debug")
    parser.add_argument(
        "--jobs", type=int, metavar="N", help="slots; default one a GPU, or what cores and memory allow"
    )
    parser.add_argument(
        "--runs-dir",
        type=Path,
        metavar="DIR",
        help="where it runs; default a folder `reproduced` of its own in LAB_RUNS",
    )


def run(args: argparse.Namespace) -> int:
    from lab.config.reader import dump
    from lab.reports.groups import groups
    from lab.reports.recorded import Recorded
    from lab.reports.reproduction import differences, reproduction_table, verdict
    from lab.reports.run import Run
    from lab.stages.execute import say
    from lab.stages.files import disk_errors, write_atomically
    from lab.sweeps.plan import Request
    from lab.sweeps.run import PlannedSweep

    path = _find(args.name)
    recorded = Recorded.load(path)
    seeds = _seeds(args.seeds, recorded)
    folder = (args.runs_dir or env.RUNS.path() / "reproduced" / path.stem).resolve()
    configs = []
    with disk_errors("the recorded configurations", folder):
        (folder / "configs").mkdir(parents=True, exist_ok=True)
        for seed in seeds:
            text = dump(recorded.config_of(seed))
            configs.append(folder / "configs" / f"{path.stem}-seed{seed}.yaml")
            write_atomically(configs[-1], lambda draft, text=text: draft.write_text(text))  # type: ignore[misc]
    where = f"runs_dir={json.dumps(str(folder))}"
    planned = PlannedSweep(Request(tuple(map(str, configs)), overrides=(*args.overrides, where)))
    minutes = sum(run["seconds"] for run in recorded.runs if run["seed"] in seeds) / 60
    say(f"{recorded.name}: {len(seeds)} runs that took {minutes:.0f} minutes together when they were recorded")
    sweep = planned.run(args.executor, args.jobs)
    if problems := sweep.problems():
        first = problems[0]
        raise UserError(f"{first.stage} of {first.job.label} failed: {first.error} (log: {first.log})")
    (group,) = groups([Run(run) for run in sweep.run_paths()])
    found = list(differences(recorded, group))
    print(f"{reproduction_table(recorded, found).text()}\n\n{verdict(found)}")
    now = sum(run.record["seconds"] for run in group.runs.values()) / 60
    print(f"recorded: {recorded.provenance()}\nnow: {now:.0f} minutes; runs in {folder}")
    return 0


def _find(name: str) -> Path:
    """Raises:
    UserError: there is no such file; with the nearest names.
    """
    from lab.config.resolve import own_experiments

    if Path(name).is_file():
        return Path(name)
    folders = [Path("experiments") / "results", own_experiments() / "results"]
    known = {path.stem: path for folder in reversed(folders) for path in sorted(folder.glob("*.json"))}
    if name not in known:
        raise UserError(f"nothing is recorded as '{name}'{did_you_mean(name, list(known))}")
    return known[name]


def _seeds(text: str | None, recorded: Recorded) -> list[int]:
    if text is None:
        return recorded.seeds
    try:
        wanted = [int(part) for part in text.split(",")]
    except ValueError:
        raise UserError(f"--seeds {text}: expected a list of numbers, e.g. 0,1") from None
    for seed in wanted:
        recorded.config_of(seed)  # says which there are
    return wanted
