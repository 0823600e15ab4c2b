"""What a sweep was asked for and the jobs it consists of, in a folder that every process may read."""

from __future__ import annotations

import json
import os
import socket
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from lab.errors import UserError, did_you_mean
from lab.stages.artefact import MANIFEST
from lab.stages.files import write_atomically, write_json
from lab.stages.record import RUN
from lab.stages.store import now
from lab.sweeps.axes import labels

SWEEPS = "sweeps"
REQUEST = "sweep.json"
JOBS = "jobs.jsonl"

State = Literal["done", "running", "failed", "pruned", "waiting"]
LEADING: tuple[State, ...] = ("failed", "pruned", "running")
"""States of a stage that are its job's state as well, the first that there is."""
STATES: tuple[State, ...] = ("done", "running", "waiting", "failed", "pruned")


@dataclass(frozen=True)
class Request:
    """What was asked for. `configs` are absolute paths; `grid` is as it was typed."""

    configs: tuple[str, ...]
    profiles: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    grid: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    random: int | None = None
    search: str | None = None
    trials: int = 0
    pruner: str = "none"
    metric: str | None = None
    direction: Literal["min", "max"] = "max"
    until: float | None = None
    max_seeds: int = 0

    @classmethod
    def from_plain(cls, content: Mapping[str, Any]) -> Request:
        """From JSON, which knows lists alone."""
        options: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in content.items()
        }
        return cls(**options)


@dataclass(frozen=True)
class Job:
    """One experiment to run: a resolved configuration, and the run folder of that id.

    setting: what tells it from the other jobs besides the seed, dotted key -> YAML text. stages: name -> artefact key.
    trial: of a search.
    """

    id: str
    config: str
    name: str
    setting: Mapping[str, str]
    seed: int
    stages: Mapping[str, str]
    trial: int | None = None

    @property
    def label(self) -> str:
        """`ddb_shapes rho=0.9 seed=1`."""
        return " ".join(filter(None, [self.name, *labels([dict(self.setting)]), f"seed={self.seed}"]))


@dataclass(frozen=True)
class Problem:
    """A stage that failed, and one of the jobs that need it."""

    job: Job
    stage: str
    error: str
    log: Path


class Sweep:
    """`sweeps/<id>/` in the folder of runs.

    sweep.json     what was asked for
    jobs.jsonl     one line a job; a search and `--until` add lines
    stages/<key>   state of a stage that was started: running, done, failed, pruned; its error, its log
    logs/          what each stage printed
    fronts/        a lock held by each process that works on the sweep
    """

    def __init__(self, path: Path):
        self.path = path
        self.runs = path.parent.parent

    @property
    def id(self) -> str:
        return self.path.name

    @cached_property
    def request(self) -> Request:
        return Request.from_plain(json.loads((self.path / REQUEST).read_text())["request"])

    @property
    def started(self) -> str:
        """UTC, ISO 8601."""
        return str(json.loads((self.path / REQUEST).read_text())["started"])

    @property
    def jobs(self) -> list[Job]:
        path = self.path / JOBS
        return [Job(**json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []

    def write(self, request: Request, jobs: Iterable[Job]) -> None:
        """Create the folder with its plan, or come back to it: jobs that an earlier process added are kept."""
        for name in ("stages", "logs", "fronts"):
            (self.path / name).mkdir(parents=True, exist_ok=True)
        if not (self.path / REQUEST).exists():
            write_json(self.path / REQUEST, {"format": 1, "started": now(), "request": asdict(request)})
        self.add(jobs)

    def add(self, jobs: Iterable[Job]) -> None:
        """Enter jobs into the plan, on disk before any of them starts."""
        with FileLock(self.path / "fronts" / "jobs.lock"):
            known = {job.id: job for job in self.jobs}
            merged = {**known, **{job.id: job for job in jobs if job.id not in known}}
            if merged.keys() != known.keys():
                text = "".join(f"{json.dumps(asdict(job), separators=(',', ':'))}\n" for job in merged.values())
                write_atomically(self.path / JOBS, lambda draft: draft.write_text(text))

    def run_paths(self) -> list[Path]:
        """The run folder of every job, there or not."""
        return [self.runs / job.id for job in self.jobs]

    def log(self, stage: str, key: str) -> Path:
        return self.path / "logs" / f"{stage}-{key}.log"

    def enter(self, key: str, content: Mapping[str, Any]) -> None:
        """Note what became of a stage."""
        write_json(self.path / "stages" / f"{key}.json", content)

    def entries(self) -> dict[str, dict[str, Any]]:
        """What is noted of each stage; what a dead process left as running is not running."""
        alive = {front["front"] for front in self.fronts()}
        found = {}
        for path in sorted((self.path / "stages").glob("*.json")):
            entry = json.loads(path.read_text())
            if entry["state"] == "running" and entry["front"] not in alive:
                entry["state"] = "waiting"
            found[path.stem] = entry
        return found

    def forget(self, *states: State) -> int:
        """Let stages in these states be tried again; returns how many there were."""
        keys = [key for key, entry in self.entries().items() if entry["state"] in states]
        for key in keys:
            (self.path / "stages" / f"{key}.json").unlink(missing_ok=True)
        return len(keys)

    def states(self, entries: Mapping[str, Mapping[str, Any]] | None = None) -> dict[str, State]:
        """State of every job by its id, read off the folder and the store."""
        entries = self.entries() if entries is None else entries
        done: dict[str, bool] = {}
        found: dict[str, State] = {}
        for job in self.jobs:
            for key in job.stages.values():
                if key not in done:
                    done[key] = (self.runs / "store" / key / MANIFEST).exists()
            left = [key for key in job.stages.values() if not done[key]]
            noted = {str(entries[key]["state"]) for key in left if key in entries}
            if not left:
                found[job.id] = "done" if (self.runs / job.id / RUN).exists() else "waiting"
            else:
                found[job.id] = next((state for state in LEADING if state in noted), "waiting")
        return found

    def counts(self) -> dict[State, int]:
        """Jobs by state, those that there are."""
        counted = Counter(self.states().values())
        return {state: counted[state] for state in STATES if counted[state]}

    def problems(self) -> list[Problem]:
        """Every stage that failed, with the first job that needs it."""
        found = []
        failed = {key: entry for key, entry in self.entries().items() if entry["state"] == "failed"}
        for job in self.jobs:
            for stage, key in job.stages.items():
                if key in failed:
                    entry = failed.pop(key)
                    found.append(Problem(job, stage, str(entry["error"]), self.path / str(entry["log"])))
        return found

    @contextmanager
    def front(self, *, alone: bool) -> Iterator[str]:
        """Be a process that works on the sweep; yields its name.

        Raises:
            UserError: `alone`, and another process works on it.
        """
        folder = self.path / "fronts"
        name = f"{socket.gethostname()}-{os.getpid()}"
        lock = FileLock(folder / f"{name}.lock")
        with FileLock(folder / "gate.lock"):
            if alone and (others := self.fronts()):
                other = others[0]
                raise UserError(
                    f"sweep {self.id} is being run by process {other['pid']} on {other['host']}; "
                    f"look at it with `lab sweep status {self.id}`, or stop it with `lab sweep cancel {self.id}`"
                )
            lock.acquire()
            me = {"front": name, "pid": os.getpid(), "host": socket.gethostname(), "started": now()}
            write_json(folder / f"{name}.json", me)
        try:
            yield name
        finally:
            (folder / f"{name}.json").unlink(missing_ok=True)
            lock.release()
            (folder / f"{name}.lock").unlink(missing_ok=True)

    def fronts(self) -> list[dict[str, Any]]:
        """The processes that work on the sweep now: front, pid, host, started."""
        alive = []
        for path in (self.path / "fronts").glob("*.json"):
            lock = FileLock(path.with_suffix(".lock"))
            try:
                front = json.loads(path.read_text())
                if front["pid"] == os.getpid() and front["host"] == socket.gethostname():
                    alive.append(front)
                    continue
                lock.acquire(timeout=0)
            except Timeout:
                alive.append(front)
            except FileNotFoundError:  # it has just ended
                continue
            else:
                path.unlink(missing_ok=True)  # killed: nobody else cleans up
                lock.release()
                path.with_suffix(".lock").unlink(missing_ok=True)
        return alive


def find_sweep(name: str, runs: Path) -> Sweep:
    """A sweep by path, id, unique beginning of an id, or experiment name (its newest sweep).

    Raises:
        UserError: none or several fit; lists candidates.
    """
    for path in (Path(name), runs / SWEEPS / name):
        if (path / REQUEST).exists():
            return Sweep(path.resolve())
    known = sorted((path.parent for path in (runs / SWEEPS).glob(f"*/{REQUEST}")), key=_age)
    of_experiment = [path for path in known if path.name.rpartition("-")[0] == name]
    if of_experiment:
        return Sweep(of_experiment[-1])
    begin = [path for path in known if path.name.startswith(name)]
    if len(begin) == 1:
        return Sweep(begin[0])
    listed = ", ".join(path.name for path in (begin or known)[-5:]) or "none yet"
    problem = f"several sweeps begin with '{name}'" if begin else f"no sweep '{name}'"
    near = "" if begin else did_you_mean(name, [path.name for path in known])
    raise UserError(f"{problem} under {runs / SWEEPS}{near}; candidates: {listed}")


def _age(path: Path) -> float:
    return (path / REQUEST).stat().st_mtime


def wait_for_end(sweep: Sweep, seconds: float) -> bool:
    """Whether all processes that work on a sweep end within that time."""
    deadline = time.monotonic() + seconds
    while sweep.fronts():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
