"""The claim ledger: what the paper says beside what was recorded, with a verdict for each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lab.config.schema import Claim
from lab.reports.run import Run, Stage
from lab.reports.tables import shown

Outcome = Literal["holds", "fails", "reproduced", "above", "below", "not comparable", "not run"]


@dataclass(frozen=True)
class Verdict:
    """A claim, the numbers it was decided by, and the outcome.

    ours: recorded value of `claim.left`. bound: what it is compared with (`factor * right + margin`, or `value`).
    keys: artefacts that the numbers were read from. missing: stages or metrics that are not there.
    """

    claim: Claim
    outcome: Outcome
    ours: float | None
    bound: float | None
    keys: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def compared(self) -> str:
        """`62.9 %, needs ≥ 58.9 %`, or for a published number `62.9 %, published 65.0 % ± 2.0 %`."""
        metric = self.claim.left
        if is_cell(self.claim):
            word, slack = "published", self.claim.spread
        else:
            word = "needs " + {">=": "≥", "<=": "≤", "~=": "≈"}[self.claim.relation]
            slack = self.claim.margin if self.claim.relation == "~=" else None
        allowed = f" ± {shown(metric, slack)}" if slack else ""
        return f"{shown(metric, self.ours)}, {word} {shown(metric, self.bound)}{allowed}"

    @property
    def origin(self) -> str:
        """`Table 2, paper`: where the claim was read, and how sure that is."""
        return ", ".join(filter(None, [self.claim.table, self.claim.provenance]))


def claims(run: Run | Path) -> list[Verdict]:
    """Every claim of the experiment, decided by what the run recorded, in the experiment's order."""
    run = run if isinstance(run, Run) else Run(run)
    return [_verdict(run, claim) for claim in run.claims]


def claims_text(run: Run | Path) -> str:
    """A line for each claim: outcome, text and the numbers; empty where the experiment makes none."""
    return "\n".join(f"{verdict.outcome}: {verdict.claim.text} ({verdict.compared})" for verdict in claims(run))


def is_cell(claim: Claim) -> bool:
    """Whether the claim is a number that somebody published, as opposed to a bound of our own or a comparison."""
    return claim.right is None and claim.value is not None and claim.provenance != "ours"


def _verdict(run: Run, claim: Claim) -> Verdict:
    missing: list[str] = []
    keys: list[str] = []

    def number(expression: str) -> float | None:
        stage, value = _look_up(run, expression)
        if stage is None or value is None:
            missing.append(expression)
        elif stage.entry.get("key"):
            keys.append(str(stage.entry["key"]))
        return value

    ours = number(claim.left)
    bound = bound_of(claim, None if claim.right is None else number(claim.right))
    outcome = "not run" if ours is None or bound is None else decide(claim, run.kind, ours, bound)
    return Verdict(claim, outcome, ours, bound, tuple(dict.fromkeys(keys)), tuple(missing))


def bound_of(claim: Claim, theirs: float | None) -> float | None:
    """What the claim's left side is compared with, given its right side, if that is known."""
    if claim.right is None:
        return claim.value
    # "About equal" allows the margin on both sides, so it is no part of the bound.
    shift = 0.0 if claim.relation == "~=" else claim.margin
    return None if theirs is None else claim.factor * theirs + shift


def decide(claim: Claim, kind: str, ours: float, bound: float) -> Outcome:
    """The outcome of a claim at an experiment of that kind."""
    if is_cell(claim):
        if kind != "paper-scale":
            return "not comparable"
        if abs(ours - bound) <= (claim.spread if claim.spread is not None else claim.margin):
            return "reproduced"
        return "above" if ours > bound else "below"
    held = {">=": ours >= bound, "<=": ours <= bound, "~=": abs(ours - bound) <= claim.margin}[claim.relation]
    return "holds" if held else "fails"


def _look_up(run: Run, expression: str) -> tuple[Stage | None, float | None]:
    name, _, metric = expression.partition("/")
    stage = run.stages.get(name)
    return stage, stage.metric(metric) if stage else None
