"""What a sweep found so far, as text and as one CSV file."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.reports import claims_text, results_table
from lab.reports.groups import Group, groups
from lab.reports.ledger import verdicts
from lab.reports.run import Run
from lab.reports.tables import EMPTY, Table
from lab.stages.artefact import Artefact
from lab.stages.files import write_atomically
from lab.stages.record import RUN
from lab.sweeps.axes import label, labels
from lab.sweeps.plan import STATES, Sweep


def finished(sweep: Sweep) -> list[Group]:
    """The finished runs of a sweep, by experiment and setting."""
    return groups([Run(path) for path in sweep.run_paths() if (path / RUN).exists()])


def summary(sweep: Sweep) -> str:
    """The results of every experiment over its settings and seeds, its claims, then what failed."""
    by_name: dict[str, list[Group]] = defaultdict(list)
    for group in finished(sweep):
        by_name[group.name].append(group)
    parts = [_of_one(own[0]) if len(own) == 1 else _of_several(own) for own in by_name.values()]
    return "\n\n".join(filter(None, [*parts, failures(sweep), _best(sweep), counted(sweep)]))


def _of_one(group: Group) -> str:
    seeds = ", ".join(map(str, group.seeds))
    parts = [f"{group.name}, seeds {seeds}", results_table(group).text(), claims_text(group)]
    return "\n\n".join(filter(None, parts))


def _of_several(found: Sequence[Group]) -> str:
    """Settings below each other in one table, and how often each claim came out how."""
    tables = [results_table(group) for group in found]
    columns = max((table.columns for table in tables), key=len)
    rows = []
    for group, table in zip(found, tables, strict=True):
        for row in table.rows:
            cells = dict(zip(table.columns, row, strict=True))
            rows.append((group.label, *(cells.get(column, EMPTY) for column in columns)))
    lead = 1 + min(table.lead for table in tables)
    outcomes: dict[str, Counter[str]] = defaultdict(Counter)
    for group in found:
        for verdict in verdicts(group):
            outcomes[verdict.text][verdict.outcome] += 1
    lines = [
        f"{', '.join(f'{outcome} in {n}' for outcome, n in counted.items())} of {len(found)} settings: {text}"
        for text, counted in outcomes.items()
    ]
    table = Table(("setting", *columns), tuple(rows), lead)
    return "\n\n".join(filter(None, [found[0].name, table.text(), "\n".join(lines)]))


def failures(sweep: Sweep) -> str:
    """One line a failed stage, with its log; empty when there is none."""
    return "\n".join(
        f"failed: {problem.stage} of {problem.job.label}: {problem.error} (log: {problem.log})"
        for problem in sweep.problems()
    )


def counted(sweep: Sweep) -> str:
    """`24 jobs: 20 done, 4 waiting`."""
    counts = sweep.counts()
    return f"{sum(counts.values())} jobs: " + ", ".join(f"{count} {state}" for state, count in counts.items())


def status(sweep: Sweep) -> str:
    """Jobs by setting and state, what runs now with the last line of its log, and what failed."""
    entries = sweep.entries()
    states = sweep.states(entries)
    rows: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    jobs = sweep.jobs
    for job, name in zip(jobs, labels([dict(job.setting) for job in jobs]), strict=True):
        rows[f"{job.name} {name}".strip()][states[job.id]] += 1
    used = [state for state in STATES if any(row[state] for row in rows.values())]
    table = Table(("jobs", *used), tuple((name, *(str(row[s] or "-") for s in used)) for name, row in rows.items()), 9)
    lines = [f"{sweep.id}, started {sweep.started}: {counted(sweep)}"]
    fronts = sweep.fronts()
    lines.append(
        f"worked on by process {fronts[0]['pid']} on {fronts[0]['host']}"
        if fronts
        else "no process works on it"
        + ("" if set(states.values()) <= {"done"} else f"; `lab sweep retry {sweep.id}` goes on")
    )
    running = [f"running: {_running(sweep, entry)}" for entry in entries.values() if entry["state"] == "running"]
    return "\n".join(
        filter(None, ["\n".join(lines), "", table.text(), "", *running, failures(sweep), _best(sweep)])
    ).rstrip()


def _running(sweep: Sweep, entry: Mapping[str, str]) -> str:
    log = sweep.path / entry["log"]
    printed = log.read_text(errors="replace").splitlines() if log.exists() else []
    return printed[-1] if printed else f"{entry['stage']} of {entry['job']}"


def _best(sweep: Sweep) -> str:
    request = sweep.request
    if not request.search:
        return ""
    from lab.sweeps.sources import study_of

    found = study_of(sweep).best()
    if found is None:
        return ""
    trial, value = found
    return f"best: trial {trial.number} with {label(trial.setting)}: {request.metric} {value:.4g}"


def collect(sweep: Sweep) -> Path:
    """`results.csv` in the sweep's folder: a row for each job, its setting, state, and every metric of its stages."""
    states = sweep.states()
    keys = list(dict.fromkeys(key for job in sweep.jobs for key in job.setting))
    rows = []
    for job in sweep.jobs:
        row: dict[str, object] = {"job": job.id, "experiment": job.name, **job.setting, "seed": job.seed}
        row["state"] = states[job.id]
        if states[job.id] == "done":
            for stage, key in job.stages.items():
                metrics = Artefact(sweep.runs / "store" / key).metrics
                row |= {f"{stage}/{name}": repr(value) for name, value in metrics.items()}
        rows.append(row)
    columns = list(
        dict.fromkeys(["job", "experiment", *keys, "seed", "state", *(name for row in rows for name in row)])
    )
    path = sweep.path / "results.csv"

    def write(draft: Path) -> None:
        with draft.open("w", newline="") as handle:
            writer = csv.DictWriter(handle, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)

    write_atomically(path, write)
    return path
