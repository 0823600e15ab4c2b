"""How far a result that was run again is off from what was recorded."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from lab.reports.recorded import Recorded
from lab.reports.results import Results
from lab.reports.tables import EMPTY, Table, is_share, shown


@dataclass(frozen=True)
class Difference:
    """A metric of a stage with one seed, recorded and now. NaN stands for a metric that one of them lacks."""

    stage: str
    metric: str
    seed: int
    recorded: float
    now: float

    @property
    def equal(self) -> bool:
        return self.recorded == self.now or (math.isnan(self.recorded) and math.isnan(self.now))

    @property
    def off(self) -> float:
        """Now minus recorded; NaN where one of them is missing."""
        return self.now - self.recorded


def differences(recorded: Recorded, now: Results) -> Iterator[Difference]:
    """Every metric of every stage with every seed that was run again."""
    for stage in recorded.stages:
        theirs, ours = recorded.entries(stage), now.entries(stage) if stage in now.stages else {}
        for seed in now.seeds:
            old = theirs[seed].metrics if seed in theirs else {}
            new = ours[seed].metrics if seed in ours else {}
            for metric in dict.fromkeys([*old, *new]):
                yield Difference(stage, metric, seed, old.get(metric, math.nan), new.get(metric, math.nan))


def reproduction_table(recorded: Recorded, found: list[Difference]) -> Table:
    """Test stages: headline metrics recorded and now, as means over the seeds that were run again, and the largest
    difference that a seed makes."""
    rows = []
    for stage, title in recorded.with_verb("test").items():
        for metric in recorded.headline:
            own = [each for each in found if each.stage == stage and each.metric in (metric, f"test/{metric}")]
            if not own:
                continue
            off = max((abs(each.off) for each in own), default=math.nan)
            cells = (sum(each.recorded for each in own) / len(own), sum(each.now for each in own) / len(own))
            unit = f"{100 * off:.2g} points" if is_share(metric) else f"{off:.2g}"
            rows.append((title, metric, *(shown(metric, cell) for cell in cells), EMPTY if math.isnan(off) else unit))
    return Table(("method", "metric", "recorded", "now", "most off"), tuple(rows), lead=5)


def verdict(found: list[Difference]) -> str:
    """One sentence over all metrics of all stages."""
    equal = sum(each.equal for each in found)
    apart = [each for each in found if not each.equal]
    text = f"{equal} of {len(found)} metrics of all stages are equal to the last digit"
    if not apart:
        return text
    missing = [each for each in apart if math.isnan(each.off)]
    numbers = [each for each in apart if not math.isnan(each.off)]
    if numbers:
        worst = max(numbers, key=lambda each: abs(each.off) / max(abs(each.recorded), 1e-12))
        text += (
            f"; relatively furthest off is {worst.metric} of {worst.stage} with seed {worst.seed}: "
            f"{worst.recorded:.6g} recorded, {worst.now:.6g} now"
        )
    if missing:
        names = ", ".join(dict.fromkeys(f"{each.stage}/{each.metric}" for each in missing[:3]))
        text += f"; {len(missing)} are missing on one side ({names}{', …' if len(missing) > 3 else ''})"
    return text
