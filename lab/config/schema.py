"""The shape of an experiment: what a YAML file under experiments/ may say. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from lab.config.expressions import parse
from lab.config.fields import option, runtime

Verb = Literal["fit", "validate", "test", "predict"]
Split = Literal["train", "val", "test"]
LoggerName = Literal["tensorboard", "wandb", "mlflow"]


@dataclass
class ComponentChoice:
    """A registered name and its options: `{name: classifier, lr: 1e-3}`.

    In a resolved experiment `options` is an instance of the component's own configuration dataclass.
    """

    name: str
    options: Any = None


@dataclass
class TrainerConfig:
    """How a stage is run. The experiment's `trainer:` block holds for all stages, a stage's own overrides it."""

    max_epochs: int | None = option(None, "epochs; exactly one of max_epochs and max_steps ends a fit")
    max_steps: int | None = option(None, "optimiser steps")
    batch_size: int = option(64, "rows in one optimiser step, over all devices and accumulation together")
    accumulate: int = runtime(1, "forward passes that make one optimiser step")
    precision: Literal["32", "bf16-mixed", "16-mixed", "64"] = option("32", "also on the CPU (bf16-mixed)")
    gradient_clip: float | None = option(None, "largest norm of the gradient")
    select: Literal["last", "best"] = option("last", "weights to keep: the last, or the best by `monitor`")
    monitor: str | None = option(None, "validation metric that selects and stops; never a test metric")
    mode: Literal["min", "max"] = option("max", "direction of `monitor`")
    patience: int | None = option(None, "stop after so many validations without a better `monitor`")
    validate_every: int = option(1, "epochs between validations; 0 never validates")
    eval_batch_size: int = runtime(256, "rows per device in validate, test and predict")
    accelerator: Literal["auto", "cpu", "gpu"] = runtime("auto", "where to compute")
    devices: int = runtime(1, "processes per node, one device each")
    nodes: int = runtime(1, "machines")
    threads: int | None = runtime(None, "CPU threads a process; default: the cores divided by the processes")
    workers: int = runtime(0, "data loading processes per device")
    compile: bool = runtime(False, "torch.compile the network")
    channels_last: bool = runtime(False, "memory layout of convolutions")
    recovery_seconds: float = runtime(60.0, "time between recovery checkpoints; 0: after every step")
    log_every: int = runtime(20, "optimiser steps between two rows of the curves")

    def check(self) -> Iterator[tuple[str, str]]:
        if self.max_epochs is not None and self.max_steps is not None:
            yield "max_epochs", "give one of max_epochs and max_steps, not both"
        for name in ("batch_size", "eval_batch_size", "accumulate", "devices", "nodes"):
            if getattr(self, name) < 1:
                yield name, f"must be at least 1, is {getattr(self, name)}"
        parts = self.devices * self.nodes * self.accumulate
        if parts > 0 and self.batch_size % parts:
            yield "batch_size", f"{self.batch_size} can't be divided over {parts} parts (devices x nodes x accumulate)"
        if (self.select == "best" or self.patience is not None) and not self.monitor:
            yield "monitor", "needed by select: best and by patience"
        if self.monitor and not self.monitor.startswith("val/"):
            yield "monitor", f"'{self.monitor}' is not a validation metric; its name has to start with 'val/'"


@dataclass
class StageConfig:
    """One Trainer verb on one module and one data module.

    A file may also say `like: STAGE`: trainer, data and module of that stage then lie below this one's own (see
    `lab.config.inherit`). A resolved experiment has it written out.
    """

    verb: Verb
    title: str | None = option(None, "row or heading of this stage in reports")
    module: ComponentChoice | None = option(None, "absent: the module of the stage named in `weights`")
    data: ComponentChoice | None = option(None, "absent: the experiment's `data`")
    split: Split | None = option(None, "rows that validate, test and predict read; absent: val, test, train")
    weights: str | None = option(None, "fit stage whose weights are loaded; in a fit, a warm start")
    needs: dict[str, str] = option(help="role -> stage whose artefact the module or data module reads", factory=dict)
    trainer: TrainerConfig | None = None
    seed: int | None = option(None, "absent: the experiment's `seed`")
    enabled: bool = option(True, "false leaves the stage out, and with it all that need it")

    def check(self) -> Iterator[tuple[str, str]]:
        trainer = self.trainer
        if self.verb == "fit" and trainer and trainer.max_epochs is None and trainer.max_steps is None:
            yield "trainer.max_epochs", "a fit needs max_epochs or max_steps, here or in the experiment's `trainer`"
        if self.module is None and (self.verb == "fit" or self.weights is None):
            yield "module", "has to be given" + (" in a fit" if self.verb == "fit" else ", or the `weights` of a fit")


@dataclass
class Cell:
    """A number that somebody published of a method that a stage evaluates.

    It is compared with what that stage recorded, at paper scale and on the same split only.
    """

    stage: str
    metric: str
    value: float
    table: str = option(help="where it stands: `Table 1`; of another paper with that paper's name")
    provenance: Literal["paper", "code", "secondary", "unverified"] = option(
        help="read in the paper, in its code, in another paper, or only remembered"
    )
    spread: float | None = option(None, "what the publication gives behind ±, in the unit of `value`")
    seeds: int | None = option(None, "how many runs it is the mean of")
    split: Split = option("test", "rows it was measured on")
    selection: str = option("not stated", "the rule by which the publication chose the checkpoint")
    note: str | None = option(None, "what a reader should know besides")

    def check(self) -> Iterator[tuple[str, str]]:
        if self.spread is not None and self.spread < 0:
            yield "spread", f"can't be negative, is {self.spread}"
        if self.seeds is not None and self.seeds < 1:
            yield "seeds", f"must be at least 1, is {self.seeds}"
        yield from _readable("metric", f"{self.stage}/{self.metric}")


@dataclass
class Claim:
    """A statement that recorded metrics can decide: `left relation factor * right + margin`.

    `left` and `right` are sums of `stage/metric` (see `lab.config.expressions`); `value` stands in place of `right` for
    a bound of our own. With `~=` the margin is what the sides may differ by, in both directions.
    """

    text: str
    left: str
    relation: Literal[">=", "<=", "~="] = ">="
    right: str | None = None
    value: float | None = None
    factor: float = 1.0
    margin: float = 0.0
    provenance: Literal["paper", "code", "secondary", "unverified", "ours"] = "unverified"

    def check(self) -> Iterator[tuple[str, str]]:
        if (self.right is None) == (self.value is None):
            given = "both are" if self.right is not None else "neither is"
            yield "right", f"give one of right and value, {given} given"
        if self.relation == "~=" and self.margin < 0:
            yield "margin", f"can't be negative with ~=, is {self.margin}"
        yield from _readable("left", self.left)
        if self.right is not None:
            yield from _readable("right", self.right)


def _readable(key: str, expression: str) -> Iterator[tuple[str, str]]:
    try:
        parse(expression)
    except ValueError as error:
        yield key, str(error)


@dataclass
class PredictConfig:
    """What `lab predict` uses: the stage whose model answers and, for debiasing, the one that knows the bias."""

    model: str
    bias: str | None = None


@dataclass
class QuantityConfig:
    """A number of each setting: a sum of `stage/metric`, or that divided by another."""

    of: str = option(help="a sum of `stage/metric` (see `lab.config.expressions`)")
    label: str = option(help="what it is, in words")
    over: str | None = option(None, "a sum that divides it, seed by seed")

    def check(self) -> Iterator[tuple[str, str]]:
        yield from _readable("of", self.of)
        if self.over is not None:
            yield from _readable("over", self.over)


@dataclass
class ScatterConfig:
    """Two numbers of each setting against each other, over the settings and experiments of one report."""

    title: str
    x: QuantityConfig
    y: QuantityConfig


@dataclass
class ReportConfig:
    """Which metrics lead the result table, and what settings are compared by."""

    headline: list[str] = field(default_factory=list)
    scatter: ScatterConfig | None = option(
        None, "a point for each setting, in reports over several; experiments with the same title share one plot"
    )


@dataclass
class SeedConfig:
    """Seeds of single axes, for all stages. An axis that is left out follows the stage's `seed`, the repetition."""

    data: int | None = option(None, "order of the training rows; also splits, where a data set's options refer to it")
    initialisation: int | None = option(None, "weights that a training starts from")
    sampling: int | None = option(None, "noise, augmentation, dropout and generated samples")


@dataclass
class Experiment:
    """One resolved experiment: one YAML file, its bases, its profile and the command line."""

    name: str
    data: ComponentChoice
    stages: dict[str, StageConfig]
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    paper: str = ""
    description: str = ""
    kind: Literal["embedded", "real", "paper-scale"] = option("embedded", "what its numbers are worth")
    seed: int = 0
    seeds: SeedConfig = field(default_factory=SeedConfig)
    loggers: list[LoggerName] = runtime(
        help="who is told the curves and metrics, besides curves.csv and metrics.json, which are always written",
        factory=lambda: ["tensorboard"],
    )
    runs_dir: str | None = runtime(None, "where runs and artefacts go; default LAB_RUNS, then ./runs")
    cells: list[Cell] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    left_out: list[str] = runtime(help="stages that are off; resolving fills it in, for claims on them", factory=list)
    predict: PredictConfig | None = None
    report: ReportConfig = field(default_factory=ReportConfig)

    def check(self) -> Iterator[tuple[str, str]]:
        for name, stage in self.stages.items():
            for key in ("devices", "nodes", "threads"):
                if stage.trainer is not None and getattr(stage.trainer, key) != getattr(self.trainer, key):
                    yield f"stages.{name}.trainer.{key}", f"holds for the whole run: set trainer.{key} instead"
