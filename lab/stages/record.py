"""The run record: a folder that tells the whole story of one resolved experiment. No torch."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab.config import Resolved
from lab.config.deciding import TEXTS
from lab.config.fields import as_plain
from lab.config.schema import Experiment
from lab.errors import UserError
from lab.stages.artefact import MANIFEST, Artefact
from lab.stages.environment import environment
from lab.stages.files import write_atomically, write_json
from lab.stages.graph import Node, hash_of
from lab.stages.store import now

RUN = "run.json"
CONFIG = "config.yaml"
ENVIRONMENT = "environment.json"


def run_id(experiment: Experiment) -> str:
    """Name, seed, and a hash of everything that decides the results; a claim or a title that is reworded changes
    nothing."""
    return identify(experiment)[0]


def identify(experiment: Experiment) -> tuple[str, str]:
    """The run's id, and a hash of the experiment with its texts: it tells a record whose claims are out of date."""
    plain = as_plain(experiment, keep_runtime=False)
    wording = hash_of(plain)
    deciding = {key: value for key, value in plain.items() if key not in TEXTS}
    deciding["stages"] = {name: {**stage, "title": None} for name, stage in plain["stages"].items()}
    return f"{experiment.name}-seed{experiment.seed}-{hash_of(deciding)[:8]}", wording


class RunRecord:
    """`runs/<id>/`: config.yaml, origins.json, environment.json, run.json, artefacts/<stage> links, report.html.

    The same experiment asked again has the same id and writes into the same folder.
    """

    def __init__(self, path: Path, content: dict[str, Any]):
        self.path, self.content = path, content

    @classmethod
    def open(
        cls, resolved: Resolved, runs: Path, *, computes: bool = True, made_in: Mapping[str, Any] | None = None
    ) -> RunRecord:
        """Create the folder, or come back to it.

        computes: whether there is a stage left to run; else environment.json stays that of the run that did the work.
        made_in: the environment, where it is not this process's.
        """
        experiment = resolved.experiment
        identity, wording = identify(experiment)
        path = runs / identity
        (path / "artefacts").mkdir(parents=True, exist_ok=True)
        earlier = json.loads((path / RUN).read_text()) if (path / RUN).exists() else {}
        record = cls(
            path,
            {
                "id": identity,
                "name": experiment.name,
                "paper": experiment.paper,
                "kind": experiment.kind,
                "seed": experiment.seed,
                "status": "running",
                "profiles": list(resolved.profiles),
                "wording": wording,
                "started": earlier.get("started", now()),
                "finished": None,
                "seconds": None,
                "stages": {},
            },
        )
        text = resolved.to_yaml()
        write_atomically(path / CONFIG, lambda draft: draft.write_text(text))
        write_json(path / "origins.json", {key: str(origin) for key, origin in resolved.origins.items()})
        if computes or not (path / ENVIRONMENT).exists():
            write_json(path / ENVIRONMENT, dict(made_in) if made_in else environment())
        record.save()
        return record

    def save(self) -> None:
        write_json(self.path / RUN, self.content)

    def add(self, node: Node, artefact: Artefact, *, ran: bool) -> None:
        """Enter a finished stage."""
        link = self.path / "artefacts" / node.name
        draft = link.with_name(f".{node.name}.{os.getpid()}")
        draft.unlink(missing_ok=True)
        draft.symlink_to(os.path.relpath(artefact.path.resolve(), link.parent.resolve()))
        draft.replace(link)
        made = artefact.manifest["made"]
        self.content["stages"][node.name] = {
            "verb": node.stage.verb,
            "title": node.stage.title or node.name,
            "key": node.key,
            "artefact": f"artefacts/{node.name}",
            "inputs": dict(node.inputs),
            "state": "ran" if ran else "cached",
            "seconds": made["seconds"],
            "peak_memory_mib": made["peak_memory_mib"],
        }
        self.save()

    def finish(self, status: str) -> None:
        """`finished`, `interrupted` or `failed`; the seconds are those of its stages, whoever computed them."""
        self.content["status"] = status
        self.content["finished"] = now()
        self.content["seconds"] = round(sum(stage["seconds"] for stage in self.content["stages"].values()), 3)
        self.save()


def load_run(path: Path) -> Mapping[str, Any]:
    """run.json of a run folder."""
    content: Mapping[str, Any] = json.loads((path / RUN).read_text())
    return content


def run_artefact(path: Path, stage: str) -> Artefact:
    """The artefact of a stage of a run.

    Raises:
        UserError: the run has no finished stage of that name; names those it has.
    """
    stages = load_run(path)["stages"]
    if stage not in stages or not (path / "artefacts" / stage / MANIFEST).exists():
        raise UserError(f"run {path.name} has no finished stage '{stage}'; it has: {', '.join(stages) or 'none'}")
    return Artefact((path / "artefacts" / stage).resolve())


def find_run(name: str, runs: Path) -> Path:
    """A run folder by path, id, unique beginning of an id, or experiment name (its newest run).

    Raises:
        UserError: none or several fit; lists candidates.
    """
    for path in (Path(name), runs / name):
        if (path / RUN).exists():
            return path
    known = sorted((path.parent for path in runs.glob(f"*/{RUN}")), key=lambda path: (path / RUN).stat().st_mtime)
    of_experiment = [path for path in known if load_run(path)["name"] == name]
    if of_experiment:
        return of_experiment[-1]
    begin = [path for path in known if path.name.startswith(name)]
    if len(begin) == 1:
        return begin[0]
    listed = ", ".join(path.name for path in (begin or known)[-5:]) or "none yet"
    problem = f"several runs begin with '{name}'" if begin else f"no run '{name}'"
    raise UserError(f"{problem} under {runs}; candidates: {listed}")
