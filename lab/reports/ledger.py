"""The ledger: published numbers and claims beside what was recorded over seeds, with a verdict for each.

Published number (a cell). *Reproduced*: our mean differs from it by no more than the published spread and half the
width of our 95 % interval together; with fewer than three seeds no interval is added. Else *above* or *below*. *Not
comparable* where the experiment is not at paper scale, ran on a stand-in, or evaluated another split.

Claim, decided by the differences of its sides on shared seeds. *Holds* where their whole 95 % interval is on the
right side of the bound, *fails* where all of it is on the wrong side, else *undecided*. With `~=`: holds where the
interval is within the margin, fails where it is outside. A single seed decides by its value and is marked so.

*Not run* where a stage or a metric is not there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lab.config.expressions import parse
from lab.config.schema import Cell, Claim
from lab.reports.groups import as_results
from lab.reports.results import Results, spelt
from lab.reports.run import Run
from lab.reports.statistics import Estimate, estimate, paired
from lab.reports.tables import amount, difference, is_share, mean_and_spread, seeds_of, spread

Outcome = Literal[
    "holds", "fails", "undecided", "reproduced", "above", "below", "not comparable", "not run"
]  # fmt: skip

INTERVAL_FROM = 3
"""Seeds from which on our interval widens what counts as reproduced: with two it is wider than any table."""


@dataclass(frozen=True)
class Verdict:
    """A cell or a claim, the numbers it was decided by, and the outcome.

    ours: recorded values of the cell, or of the claim's left side on the seeds that both sides have.
    bound: what a claim's left side is compared with, `factor * right + margin`, mean over the seeds.
    published: the number of a cell.
    difference: of a cell, ours - published; of a claim, left - bound, of one with `<=` bound - left, so that 0 or more
    means that it holds; with `~=` left - bound, which holds near 0.
    keys: artefacts that the numbers were read from. missing: terms that are not there, or not in each run.
    compared, origin: the numbers, and where the entry comes from, in a line each.
    """

    entry: Cell | Claim
    text: str
    outcome: Outcome
    ours: Estimate | None
    bound: float | None
    published: float | None
    difference: Estimate | None
    keys: tuple[str, ...]
    missing: tuple[str, ...]
    compared: str
    origin: str


def verdicts(results: Results) -> list[Verdict]:
    """Of every cell, then of every claim, in the experiment's order."""
    return [*(_cell(results, cell) for cell in results.cells), *(_claim(results, claim) for claim in results.claims)]


def claims_text(results: Results | Run | Path) -> str:
    """A line for each entry: outcome, text and the numbers; empty where the experiment has none."""
    found = verdicts(as_results(results))
    return "\n".join(f"{verdict.outcome}: {verdict.text} ({verdict.compared})" for verdict in found)


def _cell(results: Results, cell: Cell) -> Verdict:
    expression = f"{cell.stage}/{cell.metric}"
    recorded = results.values(expression)
    ours, apart = estimate(recorded.values()), paired(recorded, dict.fromkeys(recorded, cell.value))
    share = is_share(cell.metric)
    stage = results.stages.get(cell.stage)
    source = [cell.table, cell.provenance, seeds_of(cell.seeds) if cell.seeds else None]
    source += [f"chosen by {cell.selection}" if cell.selection != "not stated" else None, cell.note]
    compared = f"{mean_and_spread(share, ours)}, published {spread(share, cell.value, cell.spread)}"
    outcome: Outcome = "not run"
    if apart is not None:
        outcome = decide_cell(cell, apart) if _comparable(results, cell) else "not comparable"
        compared += f"; {_seeds(apart)}"
    return Verdict(
        entry=cell,
        text=f"{stage.title if stage else spelt(cell.stage)}, {spelt(cell.metric)}",
        outcome=outcome,
        ours=ours,
        bound=None,
        published=cell.value,
        difference=apart,
        keys=results.keys(expression),
        missing=tuple(results.missing(expression)),
        compared=compared,
        origin=", ".join(filter(None, source)),
    )


def _comparable(results: Results, cell: Cell) -> bool:
    split = results.config["stages"][cell.stage].get("split") or "val"  # a fit has none, and validates
    return results.kind == "paper-scale" and split == cell.split


def decide_cell(cell: Cell, apart: Estimate) -> Outcome:
    """Of a comparable cell, from our values minus the published one."""
    half = apart.half if apart.half is not None and apart.n >= INTERVAL_FROM else 0.0
    if abs(apart.mean) <= (cell.spread or 0.0) + half:
        return "reproduced"
    return "above" if apart.mean > 0 else "below"


def _claim(results: Results, claim: Claim) -> Verdict:
    sides = [claim.left] if claim.right is None else [claim.left, claim.right]
    left = results.values(claim.left)
    right = dict.fromkeys(left, claim.value or 0.0) if claim.right is None else results.values(claim.right)
    # "About equal" allows the margin on both sides, so it is no part of the bound.
    shift = 0.0 if claim.relation == "~=" else claim.margin
    bounds = {seed: claim.factor * value + shift for seed, value in right.items()}
    ours = estimate(left[seed] for seed in sorted(left.keys() & bounds.keys()))
    bound = estimate(bounds[seed] for seed in sorted(left.keys() & bounds.keys()))
    apart = paired(bounds, left) if claim.relation == "<=" else paired(left, bounds)
    needed = bound.mean if bound else None
    if needed is None and claim.value is not None:
        needed = claim.factor * claim.value + shift
    missing = [name for side in sides for name in results.missing(side)]
    return Verdict(
        entry=claim,
        text=claim.text,
        outcome="not run" if apart is None else decide_claim(claim, apart),
        ours=ours,
        bound=needed,
        published=None,
        difference=apart,
        keys=tuple(dict.fromkeys(key for side in sides for key in results.keys(side))),
        missing=tuple(dict.fromkeys(missing)),
        compared=_compared(claim, ours, needed, apart),
        origin=claim.provenance,
    )


def decide_claim(claim: Claim, apart: Estimate) -> Outcome:
    """From the differences of its sides, as `Verdict.difference` has them."""
    low, high = (apart.mean, apart.mean) if apart.low is None or apart.high is None else (apart.low, apart.high)
    if claim.relation == "~=":
        if -claim.margin <= low and high <= claim.margin:
            return "holds"
        return "fails" if low > claim.margin or high < -claim.margin else "undecided"
    if low >= 0:
        return "holds"
    return "fails" if high < 0 else "undecided"


def _compared(claim: Claim, ours: Estimate | None, bound: float | None, apart: Estimate | None) -> str:
    """`93.0 ± 0.2 %, needs ≥ 32.4 %: met by 60.6 points [49.1, 72.0], 3 seeds`."""
    share = all(is_share(term.metric) for term in parse(claim.left))
    sign = {">=": "≥", "<=": "≤", "~=": "≈"}[claim.relation]
    needs = f"{mean_and_spread(share, ours)}, needs {sign} {_formula(claim) if bound is None else amount(share, bound)}"
    if claim.relation == "~=":
        needs += f" ± {amount(share, claim.margin)}"
    if apart is None:
        return needs
    if apart.n == 1:
        return f"{needs}; {_seeds(apart)}"
    if claim.relation == "~=":
        return f"{needs}: differs by {difference(share, apart)}, {_seeds(apart)}"
    if apart.mean >= 0:
        return f"{needs}: met by {difference(share, apart, signed=False)}, {_seeds(apart)}"
    turned = Estimate(tuple(-value for value in apart.values))
    return f"{needs}: missed by {difference(share, turned, signed=False)}, {_seeds(apart)}"


def _formula(claim: Claim) -> str:
    """What the left side is compared with, while its number is not known: `0.5 * b/x + 0.1`."""
    factor = f"{claim.factor:g} * " if claim.factor != 1 else ""
    margin = f" + {claim.margin:g}" if claim.margin and claim.relation != "~=" else ""
    return f"{factor}{claim.right}{margin}"


def _seeds(found: Estimate) -> str:
    return seeds_of(found.n) + (", no interval" if found.n == 1 else "")
