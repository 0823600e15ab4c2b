"""`lab sweep`: many runs of one experiment or more, and what became of them."""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from lab import env
from lab.errors import UserError

if TYPE_CHECKING:
    from lab.sweeps.plan import Request, Sweep
    from lab.sweeps.run import PlannedSweep

ACTIONS = {
    "status": "what is done, runs, waits or failed",
    "retry": "try again what failed, and do what is left",
    "cancel": "stop the processes that work on it",
    "collect": "all results as one CSV file",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = "; ".join(f"`lab sweep {name} SWEEP`: {line}" for name, line in ACTIONS.items())
    parser.usage = "lab sweep --config FILE [key=value …] [--grid key=a,b …] [--seeds N] [options]"
    parser.epilog = f"{actions}. SWEEP is an id, the beginning of one, or the name of an experiment."
    parser.add_argument(
        "words", nargs="*", metavar="key=value", help="overrides for every job, e.g. trainer.max_epochs=5"
    )
    parser.add_argument(
        "--config", action="append", default=[], metavar="FILE", help="experiment file or name; again for several"
    )
    parser.add_argument("--profile", action="append", default=[], metavar="NAME", help="e.g. smoke")
    parser.add_argument(
        "--grid",
        nargs="+",
        default=[],
        metavar="key=a,b",
        help="every combination; `profile=none,small` takes profiles; with --random or --search also ranges: "
        "key=1e-5..1e-2:log",
    )
    parser.add_argument("--seeds", metavar="N", help="seeds 0 to N-1 for each setting; or a list, 0,3,7")
    parser.add_argument("--random", type=int, metavar="N", help="N random settings instead of every combination")
    parser.add_argument("--search", metavar="NAME", help="let Optuna choose settings: tpe, random, …")
    parser.add_argument(
        "--trials", type=int, default=50, metavar="N", help="settings that a search may try; default 50"
    )
    parser.add_argument("--metric", metavar="STAGE/NAME", help="what --search improves, or --until has to know")
    parser.add_argument("--direction", choices=("min", "max"), default="max", help="of --metric; default max")
    parser.add_argument(
        "--prune", default="none", metavar="NAME", help="end hopeless trials early: median, hyperband; default none"
    )
    parser.add_argument(
        "--until", metavar="ci=X", help="add seeds until the 95 %% interval is ± X wide (accuracies: percentage points)"
    )
    parser.add_argument("--max-seeds", type=int, default=20, metavar="N", help="most seeds of --until; default 20")
    parser.add_argument("--executor", default="local", metavar="NAME", help="local (default) or debug")
    parser.add_argument(
        "--jobs", type=int, metavar="N", help="slots; default one a GPU, or what cores and memory allow"
    )
    parser.add_argument("--plan-only", action="store_true", help="write and show the plan, start nothing")
    parser.add_argument("--runs-dir", type=Path, metavar="DIR", help="folder of runs; default LAB_RUNS")


def run(args: argparse.Namespace) -> int:
    if args.words and args.words[0] in ACTIONS:
        return _action(args)
    from lab.sweeps.run import PlannedSweep

    planned = PlannedSweep(_request(args))
    print(_plan_text(planned, every=args.plan_only))
    if args.plan_only:
        return 0
    return _run(planned, args)


def _run(planned: PlannedSweep, args: argparse.Namespace) -> int:
    from lab.sweeps.summary import summary

    sweep = planned.run(args.executor, args.jobs)
    print(summary(sweep))
    report = sweep.path / "report.html"
    if planned.changed or not report.exists():
        from lab.reports.page import write_sweep_report

        write_sweep_report(sweep)
    print(f"\nsweep   {sweep.path}\nreport  {report}")
    return 1 if sweep.problems() else 0


def _action(args: argparse.Namespace) -> int:
    from lab.sweeps.plan import find_sweep

    action, names = args.words[0], args.words[1:]
    if len(names) != 1:
        raise UserError(f"which sweep? lab sweep {action} SWEEP, with an id or the name of its experiment")
    sweep = find_sweep(names[0], args.runs_dir or env.RUNS.path())
    if action == "status":
        from lab.sweeps.summary import status

        print(status(sweep))
        return 0
    if action == "cancel":
        return _cancel(sweep)
    if action == "collect":
        from lab.sweeps.summary import collect, summary

        path = collect(sweep)
        print(f"{summary(sweep)}\n\n{path}")
        return 0
    from lab.sweeps.run import PlannedSweep

    planned = PlannedSweep(sweep.request)
    if planned.sweep.id != sweep.id:
        raise UserError(
            f"the experiments of sweep {sweep.id} were changed since; start a new one with `lab sweep --config`"
        )
    if others := sweep.fronts():
        raise UserError(
            f"sweep {sweep.id} is being run by process {others[0]['pid']} on {others[0]['host']}; wait or cancel"
        )
    print(f"{sweep.id}: {sweep.forget('failed')} failed stages are tried again")
    return _run(planned, args)


def _cancel(sweep: Sweep) -> int:
    from lab.sweeps.conduct import PATIENCE
    from lab.sweeps.plan import wait_for_end

    fronts = sweep.fronts()
    for front in fronts:
        if front["host"] != socket.gethostname():
            raise UserError(f"sweep {sweep.id} runs on {front['host']}: cancel it there (process {front['pid']})")
        os.kill(int(front["pid"]), signal.SIGTERM)
    if not fronts:
        print(f"{sweep.id}: nothing runs; `lab sweep status {sweep.id}` says what is left")
    elif not wait_for_end(sweep, PATIENCE + 15):
        raise UserError(
            f"sweep {sweep.id}: process {fronts[0]['pid']} does not stop; end it with kill -9: nothing is lost"
        )
    else:
        print(f"{sweep.id}: stopped; the command that started it, or `lab sweep retry {sweep.id}`, goes on")
    return 0


def _request(args: argparse.Namespace) -> Request:
    from lab.config.resolve import find_experiment
    from lab.sweeps.plan import Request

    if not args.config:
        hint = f"; or one of: lab sweep {'|'.join(ACTIONS)} SWEEP" if not args.words else ""
        raise UserError(f"which experiment? lab sweep --config FILE --grid key=a,b --seeds 3{hint}")
    until = None
    if args.until is not None:
        name, _, value = args.until.partition("=")
        try:
            until = float(value)
        except ValueError:
            until = -1.0
        if name != "ci" or not until > 0:
            raise UserError(f"--until {args.until}: expected ci=X with a width X > 0, e.g. ci=0.5")
    if args.search and (args.random or until is not None):
        raise UserError("--search goes with neither --random nor --until")
    if args.search and args.metric is None:
        raise UserError("--search needs --metric STAGE/NAME, a validation metric, e.g. erm/val/accuracy")
    if (args.search or args.random) and not args.grid:
        raise UserError(
            "--search and --random choose from --grid: give it, e.g. --grid stages.erm.module.lr=1e-4..1e-1:log"
        )
    for option in ("random", "trials", "jobs", "max_seeds"):
        if getattr(args, option) is not None and getattr(args, option) < 1:
            raise UserError(f"--{option.replace('_', '-')} {getattr(args, option)}: at least 1")
    overrides = [*args.words, *([f"runs_dir={json.dumps(str(args.runs_dir.resolve()))}"] if args.runs_dir else [])]
    return Request(
        configs=tuple(str(find_experiment(name).resolve()) for name in args.config),
        profiles=tuple(args.profile),
        overrides=tuple(overrides),
        grid=tuple(args.grid),
        seeds=_seeds(args.seeds, 3 if until is not None else 0),
        random=args.random,
        search=args.search,
        trials=args.trials if args.search else 0,
        pruner=args.prune,
        metric=args.metric,
        direction=args.direction,
        until=until,
        max_seeds=args.max_seeds if until is not None else 0,
    )


def _seeds(text: str | None, default: int) -> tuple[int, ...]:
    if text is None:
        return tuple(range(default))
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = [-1]
    found = tuple(numbers) if "," in text else tuple(range(numbers[0]))
    if not found or min(found) < 0 or len(set(found)) < len(found):
        raise UserError(f"--seeds {text}: expected how many (5), or a list of different ones (0,3,7)")
    return found


def _plan_text(planned: PlannedSweep, *, every: bool) -> str:
    """The jobs, one line each on request, and what they share."""
    from lab.sweeps.axes import labels

    sweep, store = planned.sweep, planned.store
    if planned.request.search:
        axes = " ".join(map(str, planned.planner.axes))
        return f"{sweep.id}: {planned.request.trials} trials by {planned.request.search} over {axes}"
    jobs = [each.job for each in planned.planned]
    distinct = {key: store.get(key) is not None for job in jobs for key in job.stages.values()}
    lines = []
    if every:
        names = labels([dict(job.setting) for job in jobs])
        for job, name in zip(jobs, names, strict=True):
            left = sum(not distinct[key] for key in job.stages.values())
            lines.append(
                f"{job.id}  {name + '  ' if name else ''}seed={job.seed}  {left} of {len(job.stages)} stages to run"
            )
    asked = sum(len(job.stages) for job in jobs)
    cached = sum(distinct.values())
    lines.append(
        f"{sweep.id}: {len(jobs)} jobs, {asked} stages, {len(distinct)} of them distinct, {cached} cached, "
        f"{len(distinct) - cached} to run"
    )
    return "\n".join(lines)
