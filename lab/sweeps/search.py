"""A search for the best setting: Optuna's samplers and pruners, asked by any number of processes at once.

The study is a folder: `journal.log` holds everything that was asked and told, `trials/<number>.lock` is held by the
process that works on a trial. The system frees it when that process dies, and the next one that asks gets the same
trial again.

What a seed promises: one process that works on its own gets the same settings again, also when it was stopped during
any of its trials and goes on later. Each trial has a sampler of its own, seeded by the study's seed and the trial's
number, so that nothing but the journal is carried over. Two exceptions: of several processes, what is asked depends on
what was told before, so only the random sampler gives the same settings again; and a process that is killed inside
`ask` itself, a matter of milliseconds, may leave a trial half drawn, whose other half is then drawn anew.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from filelock import FileLock, Timeout

from lab.errors import UnknownName, UserError
from lab.stages.seeds import derive
from lab.sweeps.axes import Axis, Choices, Setting, number

if TYPE_CHECKING:
    import optuna
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

SAMPLERS = ("tpe", "random", "gp", "qmc", "cmaes")
PRUNERS = ("none", "median", "hyperband")
DIRECTIONS: dict[str, Literal["minimize", "maximize"]] = {"min": "minimize", "max": "maximize"}

_NAME = "search"  # part of what decides Hyperband's brackets: always the same

State = Literal["running", "finished", "pruned", "failed"]
_STATES: dict[str, State] = {"RUNNING": "running", "COMPLETE": "finished", "PRUNED": "pruned", "FAIL": "failed"}


@dataclass(frozen=True)
class Trial:
    """One setting to try; numbers count from 0."""

    number: int
    setting: Setting


@dataclass(frozen=True)
class Entry:
    """What is known of a trial.

    value: what was told; of a pruned trial the last one that was reported; None of a failed or running one.
    error: why it failed.
    """

    trial: Trial
    state: State
    value: float | None
    error: str


class Study:
    """A search in a folder. Every method may be called by several processes and threads at once."""

    def __init__(self, folder: Path, axes: Sequence[Axis], sampler: str, trials: int, seed: int, study: optuna.Study):
        self._folder, self._sampler, self._trials, self._seed, self._study = folder, sampler, trials, seed, study
        self._axes = tuple(axes)
        self._held: dict[int, FileLock] = {}

    @classmethod
    def open(
        cls,
        folder: Path,
        axes: Sequence[Axis],
        *,
        direction: str,
        trials: int,
        sampler: str = "tpe",
        pruner: str = "none",
        seed: int = 0,
    ) -> Study:
        """Begin a search in that folder, or come back to it; then only `trials` may differ from the time before.

        Args:
            direction: `min` or `max`, what to do with the value.
            trials: how many to give out in all; failed and pruned ones count.
            sampler: one of `SAMPLERS`.
            pruner: one of `PRUNERS`.

        Raises:
            UserError: Optuna, or cmaes for the sampler of that name, is missing; a name is unknown; there is no axis;
                the folder holds another search.
        """
        for kind, name, known in (
            ("search", sampler, SAMPLERS),
            ("pruner", pruner, PRUNERS),
            ("direction", direction, tuple(DIRECTIONS)),
        ):
            if name not in known:
                raise UnknownName(kind, name, known)
        if not axes:
            raise UserError("nothing to search over: give --grid key=low..high or key=a,b")
        if sampler == "cmaes" and find_spec("cmaes") is None:
            raise UserError("--search cmaes needs one more package: pip install cmaes")
        try:
            import optuna
        except ImportError:
            raise UserError("--search needs Optuna: pip install 'lab[search]'") from None
        from lab.sweeps.journal import Journal, lock

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        (folder / "trials").mkdir(parents=True, exist_ok=True)
        definition = {
            "axes": " ".join(map(str, axes)),
            "search": sampler,
            "direction": direction,
            "pruner": pruner,
            "seed": seed,
        }
        with lock(folder / "study"):
            study = optuna.create_study(
                storage=optuna.storages.JournalStorage(Journal(folder / "journal.log")),
                study_name=_NAME,
                direction=DIRECTIONS[direction],
                pruner=_pruner(pruner),
                load_if_exists=True,
            )
            before = study.user_attrs.get("definition")
            if before is None:
                study.set_user_attr("definition", definition)
            elif changed := [f"{key} was {before[key]}" for key in definition if before[key] != definition[key]]:
                raise UserError(f"{folder} holds another search: {'; '.join(changed)}")
        return cls(folder, axes, sampler, trials, seed, study)

    def ask(self) -> Trial | None:
        """A trial for this process: first one whose process is dead, with the number and setting it had; else a new
        one. None when all have been given out, while others may still be at work on theirs."""
        from optuna.trial import Trial as Asked
        from optuna.trial import TrialState

        from lab.sweeps.journal import lock

        with lock(self._folder / "study"):
            for found in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                if self._hold(found.number):
                    if not self._frozen(found.number).state.is_finished():
                        return self._suggest(Asked(self._study_for(found.number), found._trial_id))
                    self._let_go(found.number)  # it was told between our look and our hold
            number = len(self._study.get_trials(deepcopy=False))
            if number >= self._trials:
                return None
            asked = self._study_for(number).ask()
            self._hold(number)
            return self._suggest(asked)

    def report(self, trial: Trial, step: int, value: float) -> bool:
        """Tell a value on the way, of a step that counts from 0; of a step that is known already the first value
        stays. True: the pruner would stop here."""
        from optuna.trial import Trial as Asked

        frozen = self._frozen(trial.number)
        asked = Asked(self._study, frozen._trial_id)
        if step not in frozen.intermediate_values:
            asked.report(value, step)
        return asked.should_prune()

    def tell(self, trial: Trial, value: float) -> None:
        """The trial is finished. A value that is not a finite number makes it a failed one."""
        if math.isfinite(value):
            self._study.tell(trial.number, value)
            self._let_go(trial.number)
        else:
            self.failed(trial, f"the value is {value}")

    def pruned(self, trial: Trial) -> None:
        """The trial was stopped on the pruner's advice; its last reported value counts."""
        from optuna.trial import TrialState

        self._study.tell(trial.number, state=TrialState.PRUNED)
        self._let_go(trial.number)

    def failed(self, trial: Trial, error: str) -> None:
        """The trial has no value. It is not tried again, and the sampler takes no notice of it."""
        from optuna.trial import Trial as Asked
        from optuna.trial import TrialState

        Asked(self._study, self._frozen(trial.number)._trial_id).set_user_attr("error", error)
        self._study.tell(trial.number, state=TrialState.FAIL)
        self._let_go(trial.number)

    def best(self) -> tuple[Trial, float] | None:
        """The finished trial with the best value; of equals the first."""
        told = [(e.trial, e.value) for e in self.history() if e.state == "finished" and e.value is not None]
        sign = -1 if self._study.direction.name == "MAXIMIZE" else 1
        return min(told, key=lambda pair: sign * pair[1], default=None)

    def history(self) -> list[Entry]:
        """All trials that were given out, by number."""
        return [
            Entry(
                Trial(frozen.number, self._setting(frozen)),
                _STATES[frozen.state.name],
                frozen.value,
                frozen.user_attrs.get("error", ""),
            )
            for frozen in self._study.get_trials(deepcopy=False)
        ]

    def _study_for(self, number: int) -> optuna.Study:
        """The study as the sampler of one trial sees it."""
        import optuna

        sampler = _sampler(self._sampler, self._seed, number)
        return optuna.load_study(
            study_name=_NAME, storage=self._study._storage, sampler=sampler, pruner=self._study.pruner
        )

    def _suggest(self, asked: optuna.Trial) -> Trial:
        """Give the trial a value on each axis, unless it has one already."""
        for axis in self._axes:
            if isinstance(axis, Choices):
                asked.suggest_categorical(axis.key, axis.values)
            elif axis.integer:
                asked.suggest_int(axis.key, int(axis.low), int(axis.high), log=axis.log)
            else:
                asked.suggest_float(axis.key, axis.low, axis.high, log=axis.log)
        return Trial(asked.number, self._setting(self._frozen(asked.number)))

    def _setting(self, frozen: FrozenTrial) -> Setting:
        """Of a trial whose process died before it had all its values, those it has."""
        given = {axis: frozen.params[axis.key] for axis in self._axes if axis.key in frozen.params}
        return {axis.key: value if isinstance(axis, Choices) else number(value) for axis, value in given.items()}

    def _frozen(self, number: int) -> FrozenTrial:
        return self._study.get_trials(deepcopy=False)[number]

    def _hold(self, number: int) -> bool:
        """Take a trial for this process; False while another one, or another thread, has it."""
        # Not of a thread: the one that tells may not be the one that asked.
        lock = FileLock(self._folder / "trials" / f"{number}.lock", thread_local=False)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return False
        self._held[number] = lock
        return True

    def _let_go(self, number: int) -> None:
        if lock := self._held.pop(number, None):
            lock.release()


def _sampler(name: str, seed: int, trial: int) -> BaseSampler:
    """A sampler for one trial."""
    from optuna import samplers
    from optuna.exceptions import ExperimentalWarning

    own = derive(seed, "search", trial) % 2**32
    match name:
        case "tpe":
            # The constant liar counts a running trial as a bad one, so that several processes look at several places.
            return samplers.TPESampler(seed=own, constant_liar=True)
        case "gp":
            return samplers.GPSampler(seed=own, warn_independent_sampling=False)
        case "cmaes":
            return samplers.CmaEsSampler(seed=own, warn_independent_sampling=False)
        case "qmc":  # one scrambled sequence for all trials, which the study's seed decides
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)
                return samplers.QMCSampler(
                    scramble=True,
                    seed=derive(seed, "search") % 2**32,
                    independent_sampler=samplers.RandomSampler(seed=own),
                    warn_independent_sampling=False,
                )
        case _:
            return samplers.RandomSampler(seed=own)


def _pruner(name: str) -> BasePruner:
    from optuna import pruners

    match name:
        case "median":
            return pruners.MedianPruner()
        case "hyperband":
            return pruners.HyperbandPruner()
        case _:
            return pruners.NopPruner()
