"""Run a sweep, or what is left of it: one call from a request to finished runs."""

from __future__ import annotations

from collections.abc import Sequence

from lab.config.schema import TrainerConfig
from lab.errors import UserError
from lab.stages.execute import say
from lab.stages.files import disk_errors
from lab.stages.store import Store
from lab.sweeps.conduct import Conductor
from lab.sweeps.executors import executor as make_executor
from lab.sweeps.machine import Slot, slots
from lab.sweeps.plan import Request, Sweep
from lab.sweeps.planner import Planned, Planner, sweep_of
from lab.sweeps.screen import Screen
from lab.sweeps.sources import Fixed, Search, Until, study_of


class PlannedSweep:
    """A sweep whose plan is on disk.

    Raises:
        UserError: something in the request is wrong; all that can be known without running anything is.
    """

    def __init__(self, request: Request):
        self.request, self.planner = request, Planner(request)
        self.changed = False
        """Whether `run` had anything to do."""
        settings = self.planner.settings()
        # A search has no jobs yet; the middle of its space shows whether it can have any.
        self.planned = self.planner.plan(settings or [{a.key: a.at(0.5) for a in self.planner.axes}], request.seeds)
        assert self.planner.runs is not None
        _check_metrics(request, self.planned)
        self.store = Store(self.planner.runs)
        self.sweep = sweep_of(request, self.planned, self.planner.runs)
        with disk_errors("a sweep's plan", self.store.root):
            self.sweep.write(request, [] if request.search else [each.job for each in self.planned])

    def run(self, executor: str = "local", jobs: int | None = None) -> Sweep:
        """Work until nothing is left that could be done.

        executor: see `lab.sweeps.executors.EXECUTORS`. jobs: slots; None: as many as the machine has room for.

        Raises:
            UserError: another process works on the sweep, or it asks for more devices than there are.
            Interrupted: after SIGINT or SIGTERM.
        """
        trainers = list({id(t): t for each in self.planned for t in _trainers(each)}.values())
        room = slots(trainers, jobs)
        if jobs is not None and len(room) < jobs and executor != "debug":
            say(f"--jobs {jobs}: this machine has room for {len(room)}")
        most = max(trainer.devices for trainer in trainers)
        if most > len(room) and executor != "debug":
            raise UserError(f"trainer.devices={most}, but there are {len(room)} slots on this machine")
        request = self.request
        with self.sweep.front(alone=not request.search) as front, disk_errors("a sweep", self.store.root):
            source = self._source(room)
            known = [] if request.search else self._known()
            if isinstance(source, Until):
                source.expect(known)
            made = make_executor(executor, room, self.store)
            conductor = Conductor(self.sweep, self.planner, self.store, made, source, Screen(len(room)), front)
            conductor.run(known)
        self.changed = conductor.changed
        return self.sweep

    def _source(self, room: Sequence[Slot]) -> Fixed:
        request = self.request
        if request.search:
            assert request.metric is not None
            return Search(self.planner, self.store, study_of(self.sweep), request.metric, request.seeds, len(room))
        if request.until is not None:
            metrics = [request.metric] if request.metric else _headline(self.planned)
            return Until(self.planner, self.store, metrics, request.until, request.max_seeds)
        return Fixed()

    def _known(self) -> list[Planned]:
        """The jobs of the plan, those included that an earlier process added."""
        planned = {each.job.id: each for each in self.planned}
        for job in self.sweep.jobs:
            if job.id not in planned:  # of one experiment; the others may know enough without that seed
                added = self.planner.plan([dict(job.setting)], [job.seed])
                planned |= {each.job.id: each for each in added if each.job.id == job.id}
        return list(planned.values())


def _trainers(planned: Planned) -> list[TrainerConfig]:
    return [node.stage.trainer for node in planned.nodes if node.stage.trainer is not None]


def _headline(planned: Sequence[Planned]) -> list[str]:
    """The first headline metric of every test stage that all experiments have."""
    found = []
    for node in planned[0].nodes:
        if node.stage.verb == "test" and all(node.name in each.job.stages for each in planned):
            found.append(f"{node.name}/{planned[0].headline[0]}" if planned[0].headline else "")
    found = [metric for metric in found if metric]
    if not found:
        raise UserError(
            "--until: say which --metric stage/name has to be known so well; the experiment names no headline"
        )
    return found


def _check_metrics(request: Request, planned: Sequence[Planned]) -> None:
    if request.metric is None:
        return
    stage, _, name = request.metric.partition("/")
    for each in planned:
        nodes = {node.name: node for node in each.nodes}
        if stage not in nodes or not name:
            known = ", ".join(nodes)
            raise UserError(f"--metric {request.metric}: write STAGE/NAME with a stage of {each.job.name}: {known}")
        chosen = nodes[stage].stage
        if request.search and (chosen.verb == "test" or chosen.split == "test" or name.startswith("test/")):
            raise UserError(
                f"--metric {request.metric}: a search chooses by it, and nothing is chosen on test data; "
                f"take a validation metric, such as that of a fit stage: STAGE/val/NAME"
            )
