"""The Lightning data modules: one base for all, one for labelled images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar, cast

import lightning.pytorch as L
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lab import registry
from lab.config.build import build_options
from lab.data.base import DataConfig, Facts, ImageDataset, ImageSet, Split
from lab.data.batch import Batch
from lab.data.prepare import prepared
from lab.data.sampling import EvalRows, TrainRows
from lab.errors import UserError
from lab.stages.artefact import Artefact


@dataclass(frozen=True)
class Loading:
    """How rows become batches: what the runner knows and a data set does not."""

    batch_size: int = 64
    eval_batch_size: int = 256
    accumulate: int = 1
    workers: int = 0
    rank: int = 0
    world: int = 1
    seed: int = 0
    cache: Path = Path("runs/cache")


Rows = TypeVar("Rows", bound=tuple[Any, ...])


class RowDataset(Dataset[Rows], Generic[Rows]):
    """A data set that is asked for a list of rows and returns them as one batch."""

    def __len__(self) -> int:
        raise NotImplementedError

    def __getitem__(self, rows: list[int]) -> Rows:
        raise NotImplementedError


class LabDataModule(L.LightningDataModule):
    """A LightningDataModule that a stage can be given by name.

    A subclass sets `self.facts` in its constructor and returns a `RowDataset` from `rows`; the order of rows, their
    division over devices and the place where a resumed run goes on are decided here.
    """

    facts: Facts

    def __init__(self, config: Any, loading: Loading, inputs: Mapping[str, Artefact] | None = None):
        super().__init__()
        # A small split has fewer batches than there are devices.
        self.allow_zero_length_dataloader_with_multiple_devices = True
        self.config = config
        self.loading = loading
        self.inputs: Mapping[str, Artefact] = inputs or {}
        self.train_weights: Tensor | None = None
        """Relative probability of each training row; set by the runner from `StageModule.sampling_weights`."""
        self.eval_split: Split = "test"
        """Split that validate, test and predict read (a fit validates on "val"); set by the runner."""
        self.done_batches: frozenset[int] = frozenset()
        """Predict batches that an interrupted run has already written; set by the runner."""
        self._train_rows: TrainRows | None = None

    def rows(self, split: Split) -> RowDataset[Any]:
        raise NotImplementedError

    def names(self, split: Split) -> Sequence[str]:
        """Names of the rows of a split for people; empty when they have none."""
        return ()

    def descriptions(self, split: Split) -> Sequence[str]:
        """What the data set says of each row of a split in words; empty when it says nothing."""
        return ()

    def labels_and_groups(self) -> tuple[Tensor, Tensor]:
        """int64 (n,) labels and groups of the training split, as in `Batch`."""
        raise NotImplementedError

    def has_split(self, split: Split) -> bool:
        return self.facts.sizes.get(split, 0) > 0

    @property
    def global_rows(self) -> int:
        """Rows of one global training batch."""
        return self._sampler().rows

    @property
    def local_rows(self) -> slice:
        """This device's rows within the global batch that is being trained on."""
        assert self.trainer is not None
        return self._sampler().local_rows(self.trainer.fit_loop.epoch_loop.batch_idx)

    def _sampler(self) -> TrainRows:
        if self._train_rows is None:
            raise RuntimeError("training rows are known only while a fit is running")
        return self._train_rows

    def train_dataloader(self) -> DataLoader[Any]:
        where = self.loading
        sampler = TrainRows(
            self.facts.sizes["train"],
            where.batch_size,
            rank=where.rank,
            world=where.world,
            accumulate=where.accumulate,
            seed=where.seed,
            weights=self.train_weights,
        )
        if self.trainer is not None:
            # A resumed run asks for this loader after its progress was restored: start where it stopped.
            loop = self.trainer.fit_loop
            sampler.epoch = loop.epoch_progress.current.processed  # type: ignore[attr-defined]
            sampler.skip = loop.epoch_loop.batch_progress.current.ready % len(sampler)
        self._train_rows = sampler
        return self._loader(self.rows("train"), sampler)

    def val_dataloader(self) -> DataLoader[Any]:
        fitting = self.trainer is None or self.trainer.state.fn == "fit"
        return self.eval_loader("val" if fitting else self.eval_split)

    def test_dataloader(self) -> DataLoader[Any]:
        return self.eval_loader(self.eval_split)

    def eval_loader(self, split: Split) -> DataLoader[Any]:
        """The rows of a split, each once and in order, divided over the devices."""
        where, size = self.loading, self.facts.sizes[split]
        if size < where.world:
            raise UserError(f"{size} rows of split '{split}' can't be divided over {where.world} devices")
        # A device without rows would never log the metrics that the others wait to sum up.
        batch_size = min(where.eval_batch_size, size // where.world)
        return self._loader(self.rows(split), EvalRows(size, batch_size, rank=where.rank, world=where.world))

    def predict_dataloader(self) -> DataLoader[Any]:
        where, split = self.loading, self.eval_split
        rows = EvalRows(
            self.facts.sizes[split],
            where.eval_batch_size,
            rank=where.rank,
            world=where.world,
            done=self.done_batches,
        )
        return self._loader(self.rows(split), rows)

    def _loader(self, rows: RowDataset[Any], sampler: TrainRows | EvalRows) -> DataLoader[Any]:
        # batch_size=None: the sampler yields whole lists of rows, the data set returns whole batches.
        return DataLoader(
            cast("Dataset[Any]", rows),
            batch_size=None,
            sampler=sampler,
            num_workers=self.loading.workers,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=False,
        )


class ImageRows(RowDataset[Batch]):
    """Batches of a decoded `ImageSet`; images stay uint8 (B, C, H, W) until they are on the device."""

    def __init__(self, images: ImageSet, num_biases: int):
        self.images = images
        known = images.bias >= 0
        self.groups = np.where(known, images.labels * max(num_biases, 1) + images.bias, -1)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: list[int]) -> Batch:
        pixels = np.ascontiguousarray(np.moveaxis(self.images.images[rows], 3, 1))
        return Batch(
            index=torch.tensor(rows),
            image=torch.from_numpy(pixels),
            label=torch.from_numpy(self.images.labels[rows]),
            group=torch.from_numpy(self.groups[rows]),
        )


class ImageDataModule(LabDataModule):
    """Labelled images of one data set: the one that it is registered with, or that a subclass names."""

    dataset_class: type[Any] | None = None

    def __init__(self, config: DataConfig, loading: Loading, inputs: Mapping[str, Artefact] | None = None):
        super().__init__(config, loading, inputs)
        assert self.dataset_class is not None, "registered without a data set"
        ready = prepared(self.dataset_class, config, loading.cache)
        self.dataset: ImageDataset = self.dataset_class(ready, loading.cache)
        splits = {name: self.dataset.split(name) for name in ("train", "val", "test")}
        self.facts = facts_of(self.dataset, splits)
        self._rows = {name: ImageRows(images, self.facts.num_biases) for name, images in splits.items()}

    def rows(self, split: Split) -> ImageRows:
        return self._rows[split]

    def names(self, split: Split) -> Sequence[str]:
        return self._rows[split].images.names

    def descriptions(self, split: Split) -> Sequence[str]:
        return self._rows[split].images.descriptions

    def labels_and_groups(self) -> tuple[Tensor, Tensor]:
        rows = self._rows["train"]
        return torch.from_numpy(rows.images.labels), torch.from_numpy(rows.groups)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return batch._replace(image=batch.image.float() / 255) if isinstance(batch, Batch) else batch


def facts_of(dataset: ImageDataset, splits: Mapping[str, ImageSet]) -> Facts:
    """Facts of an opened data set."""
    train = splits["train"]
    classes, biases = len(dataset.class_names), max(len(dataset.bias_names), 1)
    height, width, channels = train.images.shape[1:]
    known = train.bias >= 0
    return Facts(
        class_names=tuple(dataset.class_names),
        bias_names=tuple(dataset.bias_names),
        aligned=np.asarray(dataset.aligned, dtype=bool),
        image_shape=(channels, height, width),
        sizes={name: len(images) for name, images in splits.items()},
        label_counts=np.bincount(train.labels[train.labels >= 0], minlength=classes),
        group_counts=np.bincount(train.labels[known] * biases + train.bias[known], minlength=classes * biases),
        bias_factors=tuple(getattr(dataset, "bias_factors", ())),
    )


class GeneratedImages(LabDataModule):
    """Images that a predict stage generated, with the label each was made for: `needs: {images: STAGE}`.

    A share is held out as validation split, so that a model of generated images is never selected on real ones. The
    facts of the real data are kept (classes, shape); the bias attribute of a generated image counts as unknown.
    """

    def __init__(self, config: Any, loading: Loading, inputs: Mapping[str, Artefact] | None = None):
        super().__init__(config, loading, inputs)
        source = self.inputs["images"]
        table = source.table()
        images, labels = table["image"], table["label"]
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
        held_out = round(len(labels) * config.val_fraction)
        self._rows = {"val": order[:held_out].sort().values, "train": order[held_out:].sort().values}
        self._images, self._labels = images, labels
        facts = source.facts()
        counts = np.bincount(labels[self._rows["train"]].numpy(), minlength=facts.num_classes)
        sizes = {name: len(rows) for name, rows in self._rows.items()}
        groups = np.zeros_like(facts.group_counts)
        self.facts = replace(facts, sizes=sizes, label_counts=counts, group_counts=groups)

    def rows(self, split: Split) -> RowDataset[Batch]:
        chosen = self._rows[split]
        pixels = self._images[chosen].movedim(1, 3).numpy()
        unknown = np.full(len(chosen), -1)
        names = [f"generated {row}" for row in chosen.tolist()]
        return ImageRows(ImageSet(pixels, self._labels[chosen].numpy(), unknown, names), self.facts.num_biases)

    def labels_and_groups(self) -> tuple[Tensor, Tensor]:
        labels = self._labels[self._rows["train"]]
        return labels, torch.full_like(labels, -1)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return batch._replace(image=batch.image.float() / 255) if isinstance(batch, Batch) else batch


class Request(NamedTuple):
    """Rows of a request for generated images: index int64 (B,) and the class int64 (B,) each is wanted of."""

    index: Tensor  # type: ignore[assignment]  # a tuple has a method of that name
    label: Tensor


class ClassGridRows(RowDataset[Request]):
    def __init__(self, num_classes: int, per_class: int):
        self.num_classes, self.per_class = num_classes, per_class

    def __len__(self) -> int:
        return self.num_classes * self.per_class

    def __getitem__(self, rows: list[int]) -> Request:
        index = torch.tensor(rows)
        # Classes take turns, so that any first part of the rows holds all classes.
        return Request(index, index % self.num_classes)


class ClassGrid(LabDataModule):
    """`per_class` requests for each class that the model named by `weights` knows."""

    def __init__(self, config: Any, loading: Loading, inputs: Mapping[str, Artefact] | None = None):
        super().__init__(config, loading, inputs)
        source = self.inputs["weights"]
        facts = source.facts()
        self.read_bias = _bias_reader(source.manifest["stage"]["data"])
        """Bias attribute (n,) of uint8 images (n, h, w, c) like those that the model was fitted on, or None."""
        self._requests = ClassGridRows(facts.num_classes, config.per_class)
        size = len(self._requests)
        self.facts = replace(facts, sizes={"train": size, "val": size, "test": size})

    def rows(self, split: Split) -> ClassGridRows:
        return self._requests


def _bias_reader(data: Mapping[str, Any]) -> Callable[[np.ndarray], np.ndarray | None] | None:
    component = registry.get("data", data["name"])
    if component.dataset is None:
        return None
    config = build_options("data", data["name"], data["options"])
    return partial(registry.load(component.dataset).read_bias, config=config)
