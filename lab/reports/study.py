"""What a report says of many runs: a section for each experiment, in it a part for each setting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, islice
from operator import itemgetter
from typing import Any

from lab.reports import figures
from lab.reports.drawing import Drawing
from lab.reports.groups import Group
from lab.reports.ledger import Verdict, verdicts
from lab.reports.run import Run
from lab.reports.settings import Axis, axes, configuration, differing, environment
from lab.reports.statistics import estimate, paired
from lab.reports.tables import (
    Table,
    comparison_table,
    costs,
    costs_table,
    duration,
    heading,
    is_share,
    mean_and_spread,
    results_table,
    signal_table,
)

KINDS = {
    "embedded": ("Synthetic data", "Images drawn by a program: shows that the method works as claimed, in small."),
    "stand-in": ("Stand-in data", "A generated miniature took the place of the data set: the numbers mean nothing."),
    "real": ("Real images, reduced scale", "Real data with a smaller network or shorter training than the paper's."),
    "paper-scale": ("Paper scale", "The paper's data, network and length of training."),
}

MOST_PARTS = 24
"""Settings of one experiment that are shown in full; the others are rows of the tables over all settings."""
MOST_DRAWN = 6
"""Settings of one experiment with curves and pictures."""
MOST_PLOTS = 24
"""Plots over the values of a setting, in one experiment."""

Places = dict[tuple[str, ...], str]
"""What is on the page already: artefact keys, and the setting that shows them."""


@dataclass(frozen=True)
class Shelf:
    """Plots or pictures of one stage; `same` names the setting that shows them, where it has the same artefacts."""

    title: str
    items: list[Any]
    same: str = ""


class Part:
    """One setting: what its seeds say together.

    places: of the page; None leaves curves and pictures out.
    """

    def __init__(self, group: Group, anchor: str, places: Places | None):
        self.group, self.anchor = group, anchor
        self.label = group.label
        self.runs = list(group.runs.values())
        self.first = self.runs[0]
        self.several = len(self.runs) > 1
        self.of_first_seed = f", seed {self.first.record['seed']}" if self.several else ""
        self.tests = group.with_verb("test")
        self.baseline = next(iter(self.tests.values()), "")
        self.verdicts = verdicts(group)
        self.results = results_table(group)
        self.dots = list(self._dots())
        self.difference_plots = list(self._differences())
        self.differences = comparison_table(group) if self.difference_plots else None
        self.signals = signal_table(group)
        self.pictures = list(self._pictures(places)) if places is not None else []
        self.curves = list(self._curves(places)) if places is not None else []
        self.costs = costs_table(group) if self.several else costs(self.first.stages.values())
        self.time = spent([group])

    @property
    def summary(self) -> str:
        """`seeds 0, 1, 2; claims: holds 4, undecided 1`."""
        seeds = ", ".join(map(str, self.group.runs))
        return "; ".join(
            [f"{'seeds' if self.several else 'seed'} {seeds}", *unfinished(self.runs), *counted(self.verdicts)]
        )

    def _dots(self) -> Iterator[Drawing]:
        for metric in self.group.headline if self.several else ():
            found = [
                (title, estimate(self.group.values(f"{name}/{metric}").values())) for name, title in self.tests.items()
            ]
            rows = [(title, known) for title, known in found if known]
            if rows:
                yield figures.intervals(metric, rows, what=heading(metric))

    def _differences(self) -> Iterator[Drawing]:
        """Each test stage minus the first one; those that share two seeds with it or more."""
        for metric in self.group.headline if self.several else ():
            (_, base), *others = [(t, self.group.values(f"{name}/{metric}")) for name, t in self.tests.items()]
            found = [(title, paired(values, base)) for title, values in others]
            rows = [(title, known) for title, known in found if known and known.n > 1]
            if rows:
                unit = " (points)" if is_share(metric) else ""
                yield figures.intervals(metric, rows, what=f"{heading(metric)} minus {self.baseline}{unit}", zero=True)

    def _pictures(self, places: Places) -> Iterator[Shelf]:
        for stage, paths in figures.picture_files(self.first):
            draw = partial(map, partial(figures.picture, stage), paths)
            yield self._shelf(places, ("picture", str(stage.entry.get("key"))), stage.title, draw)

    def _curves(self, places: Places) -> Iterator[Shelf]:
        for name, stage in self.group.stages.items():
            artefacts = [run.stages[name].artefact for run in self.runs] if stage.verb == "fit" else []
            made = [artefact for artefact in artefacts if artefact]
            if made:
                key = ("curve", *(artefact.key for artefact in made))
                shelf = self._shelf(places, key, stage.title, partial(figures.curves, stage.title, made))
                if shelf.items or shelf.same:
                    yield shelf

    def _shelf(self, places: Places, key: tuple[str, ...], title: str, draw: Callable[[], Iterable[Any]]) -> Shelf:
        here = self.label or self.group.name
        place = places.setdefault(key, here)
        return Shelf(title, list(draw())) if place == here else Shelf(title, [], place)


class Section:
    """One experiment on one kind of data, over all its settings."""

    def __init__(self, groups: Sequence[Group], anchor: str, places: Places):
        self.groups, self.anchor = groups, anchor
        first = groups[0]
        self.name, self.kind = first.name, first.kind
        self.badge, self.meaning = KINDS[first.kind]
        self.runs = [run for group in groups for run in group.runs.values()]
        self.description = first.description
        self.parts = [
            Part(group, f"{anchor}-{place}-" if anchor else "", places if place < MOST_DRAWN else None)
            for place, group in enumerate(groups[:MOST_PARTS])
        ]
        several = len(groups) > 1
        self.overview = [(heading(m), self._overview(m)) for m in first.headline] if several else []
        found = axes(groups)
        self.along = list(islice(self._along([axis for axis in found if not axis.of_seeds]), MOST_PLOTS))
        self.differing = differing(found)
        self.configuration = configuration(groups)
        self.environment = environment(self.runs)

    @property
    def summary(self) -> str:
        """`2 settings, 6 runs; claims: holds 4, undecided 1`."""
        several = f"{len(self.groups)} settings, " if len(self.groups) > 1 else ""
        runs = f"{several}{len(self.runs)} run{'s' if len(self.runs) > 1 else ''}"
        found = [verdict for part in self.parts for verdict in part.verdicts]
        return "; ".join([runs, *unfinished(self.runs), *counted(found)])

    @property
    def left_out(self) -> str:
        """What a page with many settings doesn't show."""
        said = []
        if len(self.groups) > MOST_PARTS:
            said.append(f"The first {MOST_PARTS} of {len(self.groups)} settings are shown in full below.")
        if len(self.groups) > MOST_DRAWN:
            said.append(f"The first {MOST_DRAWN} have curves and pictures; each run's own report has its own.")
        return " ".join(said)

    def _overview(self, metric: str) -> Table:
        """A row for each setting, a column for each test stage: mean ± standard deviation."""

        def mean(group: Group, expression: str) -> str:
            return mean_and_spread(is_share(metric), estimate(group.values(expression).values()))

        titles = {name: title for group in self.groups for name, title in group.with_verb("test").items()}
        rows = tuple(
            (group.label, str(len(group.runs)), *(mean(group, f"{name}/{metric}") for name in titles))
            for group in self.groups
        )
        return Table(("setting", "runs", *titles.values()), rows, lead=2 + len(titles))

    def _along(self, found: Sequence[Axis]) -> Iterator[Drawing]:
        """Each headline metric over each numeric axis with three values or more, the other axes held fixed."""
        runs = [0, *accumulate(len(group.runs) for group in self.groups[:-1])]  # the first run of each group
        for axis in found:
            panels: dict[str, list[tuple[float, Group]]] = {}
            for run, group in zip(runs, self.groups, strict=True):
                at = axis.number(run)
                where = ", ".join(f"{other.key}={other.values[run]}" for other in found if other is not axis)
                if at is not None:
                    panels.setdefault(where, []).append((at, group))
            for where, points in panels.items():
                if len({at for at, _ in points}) >= 3:
                    yield from self._panels(axis.key, where, sorted(points, key=itemgetter(0)))

    def _panels(self, key: str, where: str, points: Sequence[tuple[float, Group]]) -> Iterator[Drawing]:
        for metric in self.groups[0].headline:
            lines = []
            for name, title in self.parts[0].tests.items():
                found = [(at, estimate(group.values(f"{name}/{metric}").values())) for at, group in points]
                line = [(at, known) for at, known in found if known]
                if len(line) >= 3:
                    lines.append((title, line))
            if lines:
                yield figures.along(key, metric, lines, held=where)


def sections(found: Sequence[Group]) -> list[Section]:
    """Experiments in the order of their first runs; the kinds of data of one experiment apart."""
    by_experiment: dict[tuple[str, str], list[Group]] = {}
    for group in found:
        by_experiment.setdefault((group.name, group.kind), []).append(group)
    places: Places = {}
    return [Section(some, f"e{place}", places) for place, some in enumerate(by_experiment.values(), start=1)]


def spent(found: Iterable[Group]) -> str:
    """What the runs cost, each by itself and with every artefact counted once."""
    entries = [entry for group in found for stage in group.stages for entry in group.entries(stage).values()]
    once = {entry.key: entry.seconds for entry in entries}
    total = duration(sum(entry.seconds for entry in entries))
    if len(once) == len(entries):
        return f"All stages together: {total}."
    return (
        f"Sum over all runs: {total}. With every artefact counted once, however many runs share it: "
        f"{duration(sum(once.values()))} ({len(once)} artefacts for {len(entries)} stages)."
    )


def counted(found: Iterable[Verdict]) -> Iterator[str]:
    """`claims: holds 4, undecided 1`, or nothing."""
    outcomes = Counter(verdict.outcome for verdict in found)
    if outcomes:
        yield "claims: " + ", ".join(f"{outcome} {n}" for outcome, n in outcomes.most_common())


def unfinished(runs: Iterable[Run]) -> Iterator[str]:
    """`2 interrupted`, for each status but finished."""
    states = Counter(str(run.record["status"]) for run in runs)
    yield from (f"{n} {status}" for status, n in states.items() if status != "finished")
