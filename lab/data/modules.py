"""The data sets as Lightning data modules."""

from __future__ import annotations

from lab.data.bar import Bar
from lab.data.bffhq import Bffhq
from lab.data.biased_mnist import BiasedMnist
from lab.data.celeba import Celeba
from lab.data.corrupted_cifar10 import CorruptedCifar10
from lab.data.groups_csv import ImageGroups
from lab.data.imagenet9 import ImageNet9
from lab.data.module import ImageDataModule
from lab.data.shapes import Shapes
from lab.data.urbancars import UrbanCars
from lab.data.waterbirds import Waterbirds


class WaterbirdsDataModule(ImageDataModule):
    dataset_class = Waterbirds


class BiasedMnistDataModule(ImageDataModule):
    dataset_class = BiasedMnist


class ShapesDataModule(ImageDataModule):
    dataset_class = Shapes


class CelebaDataModule(ImageDataModule):
    dataset_class = Celeba


class BffhqDataModule(ImageDataModule):
    dataset_class = Bffhq


class BarDataModule(ImageDataModule):
    dataset_class = Bar


class ImageNet9DataModule(ImageDataModule):
    dataset_class = ImageNet9


class UrbanCarsDataModule(ImageDataModule):
    dataset_class = UrbanCars


class CorruptedCifar10DataModule(ImageDataModule):
    dataset_class = CorruptedCifar10


class ImageGroupsDataModule(ImageDataModule):
    dataset_class = ImageGroups
