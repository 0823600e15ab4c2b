"""The data sets as Lightning data modules."""

from __future__ import annotations

from lab.data.biased_mnist import BiasedMnist
from lab.data.module import ImageDataModule
from lab.data.shapes import Shapes
from lab.data.waterbirds import Waterbirds


class WaterbirdsDataModule(ImageDataModule):
    dataset_class = Waterbirds


class BiasedMnistDataModule(ImageDataModule):
    dataset_class = BiasedMnist


class ShapesDataModule(ImageDataModule):
    dataset_class = Shapes
