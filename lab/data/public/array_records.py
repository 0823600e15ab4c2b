"""The public sets that are arrays. Addresses and hashes are torchvision's, sizes those that their authors give."""

from __future__ import annotations

from dataclasses import replace

from lab.data import biased_mnist, cifar_files
from lab.data.base import Card, Source
from lab.data.mnist_files import VARIANTS
from lab.data.public import arrays
from lab.data.public.sets import Record

_KRIZHEVSKY = "Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009"

CIFAR10 = Record(
    Card(
        name="cifar10",
        title="CIFAR-10",
        licence="none stated; cite Krizhevsky 2009",
        reference=_KRIZHEVSKY,
        layout="data_batch_1 to 5 and test_batch, the Python version; in cifar10/, cifar-10-batches-py/ or the root",
        sources=(
            Source(
                "https://www.cs.toronto.edu/~kriz/",
                {"cifar-10-python.tar.gz": "md5:c58f30108f718f92721af3b95e74349a"},
                unpack=True,
                note="0.2 GB",
            ),
        ),
        folder="cifar10",
    ),
    summary="photographs of ten kinds of things, 32 x 32",
    layout=arrays.CIFAR10,
    folders=("cifar10", "cifar-10-batches-py", "cifar10/cifar-10-batches-py", ""),
    classes=10,
    images={"train": 50_000, "test": 10_000},
    sample=cifar_files.CLASSES,
    hashes={
        "data_batch_1": "md5:c99cafc152244af753f735de768cd75f",
        "data_batch_2": "md5:d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "md5:54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "md5:634d18415352ddfa80567beed471001a",
        "data_batch_5": "md5:482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "md5:40351d587109b95175f43aff81a1287e",
    },
)

CIFAR100 = Record(
    Card(
        name="cifar100",
        title="CIFAR-100",
        licence="none stated; cite Krizhevsky 2009",
        reference=_KRIZHEVSKY,
        layout="train, test and meta, the Python version; in cifar100/, cifar-100-python/ or the root; fine labels",
        sources=(
            Source(
                "https://www.cs.toronto.edu/~kriz/",
                {"cifar-100-python.tar.gz": "md5:eb9058c3a382ffc7106e4002c42a8d85"},
                unpack=True,
                note="0.2 GB",
            ),
        ),
        folder="cifar100",
    ),
    summary="photographs of a hundred kinds of things, 32 x 32",
    layout=arrays.CIFAR100,
    folders=("cifar100", "cifar-100-python", "cifar100/cifar-100-python", ""),
    classes=100,
    images={"train": 50_000, "test": 10_000},
    sample=("apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle"),
    hashes={
        "train": "md5:16019d7e3df5f24257cddd939b257f8d",
        "test": "md5:f0ef6b0ae62326f3e7ffdfab6717acfc",
        "meta": "md5:7973b15100ade9c7d40fb424638fde48",
    },
)

STL10 = Record(
    Card(
        name="stl10",
        title="STL-10",
        licence="that of ImageNet, which the images are taken from: non-commercial research and education",
        reference="Coates, Lee, Ng, An Analysis of Single-Layer Networks in Unsupervised Feature Learning, 2011",
        layout="train_X.bin, train_y.bin, test_X.bin, test_y.bin; in stl10/, stl10_binary/ or the root",
        sources=(
            Source(
                "http://ai.stanford.edu/~acoates/stl10/",
                {"stl10_binary.tar.gz": "md5:91f7769df0f17e558f3565bffb0c7dfb"},
                unpack=True,
                note="2.6 GB with the unlabelled images, which are not read",
            ),
        ),
        folder="stl10",
    ),
    summary="photographs of ten kinds of things, 96 x 96, few of them labelled",
    layout=arrays.STL10,
    folders=("stl10", "stl10_binary", "stl10/stl10_binary", ""),
    classes=10,
    images={"train": 5_000, "test": 8_000},
    sample=arrays.STL_CLASSES,
    hashes={
        "train_X.bin": "md5:918c2871b30a85fa023e0c44e0bee87f",
        "train_y.bin": "md5:5a34089d4802c674881badbb80307741",
        "test_X.bin": "md5:7f263ba9f9e0b06b93213547f721ac82",
        "test_y.bin": "md5:36f9794fa4beb8a2c72628de14fa638e",
    },
)

_SVHN = {
    "train_32x32.mat": "md5:e26dedcc434d2e4c54c9b2d4a06d8373",
    "test_32x32.mat": "md5:eb5a983be6a315427106f1b164d9cef3",
}

SVHN = Record(
    Card(
        name="svhn",
        title="SVHN",
        licence="non-commercial use only",
        reference="Netzer et al., Reading Digits in Natural Images with Unsupervised Feature Learning, 2011",
        layout="train_32x32.mat and test_32x32.mat; in svhn/, SVHN/ or the root",
        sources=(Source("http://ufldl.stanford.edu/housenumbers/", dict(_SVHN), note="0.25 GB"),),
        folder="svhn",
    ),
    summary="digits of house numbers, 32 x 32",
    layout=arrays.SVHN,
    folders=("svhn", "SVHN", ""),
    classes=10,
    images={"train": 73_257, "test": 26_032},
    sample=tuple("0123456789"),
    hashes=_SVHN,
)


def _mnist_like(name: str, title: str, licence: str, reference: str, summary: str) -> Record:
    sources = tuple(replace(s, part="") for s in biased_mnist.CARD.sources if s.part == name)
    card = Card(
        name=name,
        title=title,
        licence=licence,
        reference=reference,
        layout=f"{name}.npz, or the four idx files; in {name}/, {VARIANTS[name]}/raw, biased_mnist/{name}/ or the root",
        sources=sources,
        folder=name,
    )
    classes = biased_mnist.CLASS_NAMES[name]
    return Record(
        card,
        summary=summary,
        layout=arrays.mnist_like(name, classes),
        folders=(name, f"{VARIANTS[name]}/raw", f"biased_mnist/{name}", ""),
        classes=10,
        images={"train": 60_000, "test": 10_000},
        sample=classes,
        hashes={file: value for source in sources for file, value in source.files.items() if value},
    )


ARRAY_RECORDS = (
    CIFAR10,
    CIFAR100,
    STL10,
    SVHN,
    _mnist_like(
        "mnist",
        "MNIST",
        "CC BY-SA 3.0",
        "LeCun, Bottou, Bengio, Haffner, Gradient-based learning applied to document recognition, 1998",
        "handwritten digits, 28 x 28",
    ),
    _mnist_like(
        "fashion_mnist",
        "Fashion-MNIST",
        "MIT",
        "Xiao, Rasul, Vollgraf, Fashion-MNIST: a Novel Image Dataset for Benchmarking, 2017",
        "clothes and shoes in grey, 28 x 28",
    ),
    _mnist_like(
        "kmnist",
        "KMNIST",
        "CC BY-SA 4.0",
        "Clanuwat et al., Deep Learning for Classical Japanese Literature, 2018",
        "cursive Japanese characters, 28 x 28",
    ),
)
