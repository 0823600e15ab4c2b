"""Who else is told the metrics of a stage: TensorBoard, Weights & Biases, MLflow. No torch until one is opened.

`curves.csv` and `metrics.json` are always written and are what reports read. A logger hears the same names at the same
steps, and the metrics of the finished stage. It is one run a stage there, found again by the stage's key.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from lab.config.schema import Experiment, LoggerName
from lab.errors import UserError
from lab.stages.graph import Node
from lab.stages.record import run_id
from lab.stages.store import Store

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger

TENSORBOARD = "tensorboard"
"""Folder of its event files, in a stage's working folder and then in its artefact."""


@dataclass(frozen=True)
class Tracking:
    """Which loggers hear of a run, and what it is called there.

    experiment: project or experiment of the run. run: its id, the group that its stages are in.
    """

    loggers: tuple[LoggerName, ...] = ()
    experiment: str = ""
    run: str = ""

    @classmethod
    def of(cls, experiment: Experiment) -> Tracking:
        """What an experiment asks for.

        Raises:
            UserError: the package of a logger is not installed.
        """
        for name in experiment.loggers:
            if getattr(find_spec(name), "origin", None) is None:  # a folder `wandb/` here is a package to Python, too
                extra = "" if name == "tensorboard" else f", with the extra `lab[{name}]`"
                raise UserError(
                    f"loggers: '{name}' needs the package {name}, which is not installed: "
                    f"install it{extra}, or take '{name}' out of `loggers`"
                )
        return cls(tuple(dict.fromkeys(experiment.loggers)), experiment.name, run_id(experiment))


NOBODY = Tracking()
"""No logger at all."""


class StageLoggers:
    """The loggers of one stage, on rank 0.

    A logger that fails (network, full disk) is left out from there on, and one line says so: the stage goes on.

    Args:
        store: whose folder W&B and MLflow use, too, for what they keep on this machine.
        label: begins the line of warning.
    """

    def __init__(self, tracking: Tracking, node: Node, store: Store, label: str):
        self.tracking, self.node, self.store, self.label = tracking, node, store, label
        self._open: dict[LoggerName, Any] = {}
        self._told: Set[tuple[int, str]] = frozenset()

    def begin(self, step: int = 0, told: Set[tuple[int, str]] = frozenset()) -> None:
        """Open the loggers at an optimiser step, 0 in a stage that starts anew.

        told: points (step, name) of later steps, which a run that was killed has told already and this one will find
        again. TensorBoard drops them; the others can't, so that they are not told a second time.
        """
        self._told = told
        for name in self.tracking.loggers:
            with self._spared(name):
                self._open[name] = OPENERS[name](self, step)

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Tell all loggers some metrics."""
        fresh = {name: value for name, value in values.items() if (step, name) not in self._told}
        for name, logger in list(self._open.items()):
            with self._spared(name):
                logger.log_metrics(dict(values) if name == "tensorboard" else fresh, step)

    def flush(self) -> None:
        """Have all points so far on the disk, where a logger would keep them for minutes."""
        for name, logger in list(self._open.items()):
            if name == "tensorboard":
                with self._spared(name):
                    logger.experiment.flush()

    def close(self, *, finished: bool) -> None:
        """End the run of this stage at each logger, as finished or as failed."""
        for name, logger in list(self._open.items()):
            with self._spared(name):
                if name == "wandb":
                    logger.experiment.finish(exit_code=0 if finished else 1)
                elif name == "mlflow":
                    logger.finalize("success" if finished else "failed")
                else:
                    logger.finalize("closed")  # "success" would write a file of hyper-parameters, an empty one
        self._open.clear()

    @contextmanager
    def _spared(self, name: LoggerName) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # each package has errors of its own
            self._open.pop(name, None)
            reason = shorten(str(error).strip() or type(error).__name__, 200, placeholder=" …")
            print(
                f"{self.label}: warning: logger '{name}' failed and is left out from here on: {reason}",
                file=sys.stderr,
                flush=True,
            )


def _tensorboard(stage: StageLoggers, step: int) -> Logger:
    from lightning.pytorch.loggers import TensorBoardLogger

    work = stage.store.work(str(stage.node.key))
    if step == 0:
        shutil.rmtree(work / TENSORBOARD, ignore_errors=True)
    return TensorBoardLogger(work, name="", version=TENSORBOARD, purge_step=step + 1 if step else None)


def _wandb(stage: StageLoggers, step: int) -> Logger:
    import wandb
    from lightning.pytorch.loggers import WandbLogger

    wandb.finish()  # one that failed in an earlier stage is still open, and Lightning would go on with it
    logger = WandbLogger(
        project=stage.tracking.experiment,
        group=stage.tracking.run,
        name=f"{stage.tracking.run}/{stage.node.name}",
        id=stage.node.key,
        job_type=stage.node.stage.verb,
        save_dir=stage.store.root,
        settings=wandb.Settings(quiet=True),  # else twenty lines a stage
    )
    logger.log_hyperparams(dict(stage.node.material))
    return logger


def _mlflow(stage: StageLoggers, step: int) -> Logger:
    # Files need no server and no data base; MLflow wants it said that this is meant.
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    import mlflow
    from lightning.pytorch.loggers import MLFlowLogger

    named = mlflow.is_tracking_uri_set()  # MLFLOW_TRACKING_URI
    address = mlflow.get_tracking_uri() if named else (stage.store.root.resolve() / "mlruns").as_uri()
    client = mlflow.MlflowClient(address)
    experiment = client.get_experiment_by_name(stage.tracking.experiment)
    query = f"tags.`lab.key` = '{stage.node.key}'"
    earlier = client.search_runs([experiment.experiment_id], query, max_results=1) if experiment else []
    logger = MLFlowLogger(
        experiment_name=stage.tracking.experiment,
        run_name=f"{stage.tracking.run}/{stage.node.name}",
        tracking_uri=address,
        run_id=earlier[0].info.run_id if earlier else None,
        tags={"lab.run": stage.tracking.run, "lab.stage": stage.node.name, "lab.key": stage.node.key},
    )
    logger.log_hyperparams(dict(stage.node.material))
    return logger


OPENERS: dict[LoggerName, Callable[[StageLoggers, int], Any]] = {
    "tensorboard": _tensorboard,
    "wandb": _wandb,
    "mlflow": _mlflow,
}
"""Name -> what opens Lightning's logger of that name at an optimiser step."""
