"""The two classes that a paper extends: `StageModule` and `LabDataModule`.

Both are plain Lightning classes with a fixed constructor, so that the stage graph can build them from a name and a
configuration, and with randomness that depends on the seed, the step and the row alone: a resumed run and a run on
two devices then draw the same numbers as a run on one that was never stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import lightning.pytorch as L
import torch
from torch import Tensor

from lab.data.base import Facts
from lab.stages.artefact import Artefact
from lab.stages.seeds import derive

Draw = Callable[[int, torch.Generator], Tensor]


class StageModule(L.LightningModule):
    """A LightningModule that is one stage of an experiment.

    Args:
        config: the component's configuration dataclass.
        facts: what is known of the data.
        inputs: role -> artefact, for the stages named under `needs`; `weights` among them where the stage names one.

    A subclass may override, besides Lightning's hooks:
        sampling_weights: to draw training rows with other than equal probability.
        summarise: to turn the merged table of a predict stage into metrics and pictures.
        summarise_test: to keep pictures and a table of a test stage beside the metrics that it logs.

    What changes at each step belongs into `training_step` or `optimizer_step`, in buffers: the recovery checkpoint of a
    step is taken before `on_train_batch_end` of the module, that of an epoch after all its hooks.
    """

    applies_to: ClassVar[Literal["images", "scans"]] = "images"
    """What `lab predict` hands it: pictures of a folder, to be told apart, or scans, to be corrected."""

    def __init__(self, config: Any, facts: Facts, inputs: Mapping[str, Artefact] | None = None):
        super().__init__()
        self.config = config
        self.facts = facts
        self.inputs: Mapping[str, Artefact] = inputs or {}
        self.log_every = 1
        """Steps between two rows of the curves; set by the runner."""
        self.seed = 0
        """Set by the runner before any hook is called."""

    def log(self, name: str, value: Any, *args: Any, **options: Any) -> None:
        """Lightning's `log`, except that `train/…` is heard only at the steps whose values the curves keep.

        Lightning's bookkeeping of a value costs about half a millisecond, at every step. What is to be averaged over
        the epoch (`on_epoch=True`) is always heard.
        """
        training = self._trainer is not None and self.trainer.training and name.startswith("train/")
        thinned = training and self.automatic_optimization and not options.get("on_epoch")
        if thinned and (self.trainer.global_step + 1) % self.log_every:
            return
        super().log(name, value, *args, **options)

    def sampling_weights(self, labels: Tensor, groups: Tensor) -> Tensor | None:
        """Relative probability (n,) of each training row, drawn with replacement; None: every row once an epoch.

        labels, groups: int64 (n,) of the training split, as in `Batch`.
        """
        return None

    def summarise(self, table: Mapping[str, Tensor], names: Sequence[str]) -> Summary:
        """Metrics and pictures of a finished predict stage.

        table: the columns that `predict_step` returned, all rows, ordered by `index`, on the CPU; `names` the rows'
        names, where the data module has them. Called in one process.
        """
        return Summary()

    def summarise_test(self) -> Summary:
        """Pictures and the table of a finished test stage; its metrics are those that were logged.

        Called in one process, after `on_test_epoch_end`: what needs all devices has to be gathered there.
        """
        return Summary()

    def draw(self, purpose: str, draw: Draw) -> Tensor:
        """Random numbers for the rows of the current training batch.

        `draw(n, generator)` is asked for the rows of the whole global batch, and this device's rows are cut out of
        it: the numbers depend on (seed, purpose, optimiser step, position in the global batch) and on nothing else.
        """
        generator = torch.Generator(device=self.device)
        generator.manual_seed(derive(self.seed, purpose, self.trainer.global_step))
        rows: slice = self.trainer.datamodule.local_rows  # type: ignore[attr-defined]
        return draw(self.trainer.datamodule.global_rows, generator)[rows]  # type: ignore[attr-defined]

    def row_generators(self, purpose: str, index: Tensor) -> list[torch.Generator]:
        """One generator a row, for validate, test and predict: depends on (seed, purpose, row) and nothing else."""
        made = []
        for row in index.tolist():
            generator = torch.Generator(device=self.device)
            generator.manual_seed(derive(self.seed, purpose, row))
            made.append(generator)
        return made


class Summary:
    """What a stage found besides: scalar metrics, pictures (file name -> uint8 (h, w, 3) array), columns of a table.

    A predict stage has its table already; what is given here is kept of test stages.
    """

    def __init__(
        self,
        metrics: Mapping[str, float] | None = None,
        pictures: Mapping[str, Any] | None = None,
        table: Mapping[str, Tensor] | None = None,
    ):
        self.metrics = dict(metrics or {})
        self.pictures = dict(pictures or {})
        self.table = dict(table or {})
