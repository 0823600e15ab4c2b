"""The public sets that are image files with lists of them.

Addresses and hashes are those of torchvision where it has the set, else their authors'. Sizes and classes are
what their authors give, for `lab data verify` to compare with. Licences are in short: their pages are what counts.
"""

from __future__ import annotations

from lab.data.base import Source
from lab.data.public.building import RESEARCH, archive, by_hand, record
from lab.data.public.layouts import cub, text_lists
from lab.data.public.mat import CARS, DOGS, FLOWERS

_WITH_FOLDER = r"(?P<file>(?P<label>[^/]+)/.+)"


def _folder_line(image: str, label: str, number: int) -> str:
    return f"{label}/{image}"


FLOWERS102 = record(
    "flowers102",
    "Oxford Flowers-102",
    RESEARCH,
    "Nilsback, Zisserman, Automated Flower Classification over a Large Number of Classes, ICVGIP 2008",
    "flowers of 102 kinds, ten training images each",
    "imagelabels.mat, setid.mat and jpg/image_<number>.jpg",
    (
        archive(
            "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/",
            "102flowers.tgz",
            "md5:52808999861908f626f3c1f4e79d11fa",
            part="jpg",
        ),
        Source(
            "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/",
            {
                "imagelabels.mat": "md5:e0620be6f572b9609742df49c70aed4d",
                "setid.mat": "md5:a5357ecc9cb78c4bef273ce3793fc85c",
            },
        ),
    ),
    FLOWERS,
    102,
    {"train": 1_020, "val": 1_020, "test": 6_149},
    tuple(f"flower {number}" for number in range(1, 11)),
    "flowers-102",
    hashes={
        "imagelabels.mat": "md5:e0620be6f572b9609742df49c70aed4d",
        "setid.mat": "md5:a5357ecc9cb78c4bef273ce3793fc85c",
    },
)

PETS = record(
    "oxford_iiit_pet",
    "Oxford-IIIT Pet",
    "CC BY-SA 4.0",
    "Parkhi, Vedaldi, Zisserman, Jawahar, Cats and Dogs, CVPR 2012",
    "cats and dogs of 37 breeds",
    "annotations/trainval.txt, annotations/test.txt and images/<name>.jpg",
    (
        archive(
            "https://www.robots.ox.ac.uk/~vgg/data/pets/data/",
            "images.tar.gz",
            "md5:5c4f3ee8e5d25df40f4fd59a7f44e54c",
            part="images",
        ),
        archive(
            "https://www.robots.ox.ac.uk/~vgg/data/pets/data/",
            "annotations.tar.gz",
            "md5:95a8c909bbe2e81eed6a22bccdf3f68f",
            part="annotations",
        ),
    ),
    text_lists(
        {"annotations/trainval.txt": "train", "annotations/test.txt": "test"},
        r"(?P<file>(?P<label>\S+)_\d+) (?P<number>\d+) \d+ \d+",
        "images/{file}.jpg",
        lambda image, label, number: f"{label}_{image} {number} 1 1",
    ),
    37,
    {"train": 3_680, "test": 3_669},
    ("Abyssinian", "american_bulldog", "american_pit_bull_terrier", "basset_hound", "beagle", "Bengal", "Birman"),
    "oxford-iiit-pet",
)

STANFORD_DOGS = record(
    "stanford_dogs",
    "Stanford Dogs",
    "that of ImageNet, which the images are taken from: non-commercial research and education",
    "Khosla et al., Novel Dataset for Fine-Grained Image Categorization, CVPR workshop 2011",
    "dogs of 120 breeds",
    "train_list.mat and test_list.mat (or both in lists/), and Images/<wnid>-<breed>/*.jpg",
    (
        archive("http://vision.stanford.edu/aditya86/ImageNetDogs/", "images.tar", part="Images", note="0.8 GB"),
        archive("http://vision.stanford.edu/aditya86/ImageNetDogs/", "lists.tar", part="lists"),
    ),
    DOGS,
    120,
    {"train": 12_000, "test": 8_580},
    ("Chihuahua", "Japanese_spaniel", "Maltese_dog", "Pekinese", "Shih-Tzu", "papillon", "redbone", "whippet"),
    "StanfordDogs",
)

STANFORD_CARS = record(
    "stanford_cars",
    "Stanford Cars",
    RESEARCH,
    "Krause, Stark, Deng, Fei-Fei, 3D Object Representations for Fine-Grained Categorization, ICCV workshop 2013",
    "cars of 196 models",
    "devkit/cars_meta.mat, devkit/cars_train_annos.mat, cars_test_annos_withlabels.mat, cars_train/ and cars_test/",
    (by_hand("https://ai.stanford.edu/~jkrause/cars/car_dataset.html", "the authors' files went away; copies exist"),),
    CARS,
    196,
    {"train": 8_144, "test": 8_041},
    ("AM General Hummer SUV 2000", "Acura RL Sedan 2012", "Audi TT RS Coupe 2012", "BMW M3 Coupe 2012", "smart fortwo"),
)

FGVC_AIRCRAFT = record(
    "fgvc_aircraft",
    "FGVC-Aircraft",
    "non-commercial research only",
    "Maji, Kannala, Rahtu, Blaschko, Vedaldi, Fine-Grained Visual Classification of Aircraft, 2013",
    "aircraft of 100 variants",
    "data/images_variant_{train,val,test}.txt and data/images/<number>.jpg",
    (
        archive(
            "https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/archives/", "fgvc-aircraft-2013b.tar.gz", note="2.8 GB"
        ),
    ),
    text_lists(
        {f"data/images_variant_{split}.txt": split for split in ("train", "val", "test")},
        r"(?P<file>\d+) (?P<label>.+)",
        "data/images/{file}.jpg",
        lambda image, label, number: f"{image} {label}",
    ),
    100,
    {"train": 3_334, "val": 3_333, "test": 3_333},
    (
        "707-320",
        "727-200",
        "737-200",
        "A300B4",
        "BAE 146-200",
        "Boeing 717",
        "C-130",
        "Cessna 172",
        "Spitfire",
        "Yak-42",
    ),
    "fgvc-aircraft-2013b",
)

CUB200 = record(
    "cub200",
    "CUB-200-2011",
    "non-commercial research only",
    "Wah, Branson, Welinder, Perona, Belongie, The Caltech-UCSD Birds-200-2011 Dataset, 2011",
    "birds of 200 species",
    "classes.txt, images.txt, image_class_labels.txt, train_test_split.txt and images/<number>.<species>/*.jpg",
    (archive("https://data.caltech.edu/records/65de6-vp158/files/", "CUB_200_2011.tgz", note="1.2 GB"),),
    cub(),
    200,
    {"train": 5_994, "test": 5_794},
    ("Black_footed_Albatross", "Laysan_Albatross", "Groove_billed_Ani", "Crested_Auklet", "Lazuli_Bunting", "Cardinal"),
    "cub200/CUB_200_2011",
    "CUB_200_2011",
)

DTD = record(
    "dtd",
    "Describable Textures Dataset",
    "research only",
    "Cimpoi, Maji, Kokkinos, Mohamed, Vedaldi, Describing Textures in the Wild, CVPR 2014",
    "textures of 47 kinds, ten published splits",
    "labels/{train,val,test}<1 to 10>.txt and images/<kind>/*.jpg",
    (
        archive(
            "https://www.robots.ox.ac.uk/~vgg/data/dtd/download/",
            "dtd-r1.0.1.tar.gz",
            "md5:fff73e5086ae6bdbea199a49dfb8a4c1",
            note="0.6 GB",
        ),
    ),
    text_lists(
        {f"labels/{split}{{partition}}.txt": split for split in ("train", "val", "test")},
        _WITH_FOLDER,
        "images/{file}",
        lambda image, label, number: f"{label}/{image}.jpg",
    ),
    47,
    {"train": 1_880, "val": 1_880, "test": 1_880},
    ("banded", "blotchy", "braided", "bubbly", "bumpy", "chequered", "cobwebbed", "cracked", "crosshatched", "dotted"),
    "dtd/dtd",
)

FOOD101 = record(
    "food101",
    "Food-101",
    RESEARCH,
    "Bossard, Guillaumin, Van Gool, Food-101: Mining Discriminative Components with Random Forests, ECCV 2014",
    "dishes of 101 kinds; the training labels have mistakes",
    "meta/train.txt, meta/test.txt and images/<dish>/*.jpg",
    (
        archive(
            "http://data.vision.ee.ethz.ch/cvl/", "food-101.tar.gz", "md5:85eeb15f3717b99a5da872d97d918f87", note="5 GB"
        ),
    ),
    text_lists({"meta/train.txt": "train", "meta/test.txt": "test"}, _WITH_FOLDER, "images/{file}.jpg", _folder_line),
    101,
    {"train": 75_750, "test": 25_250},
    ("apple_pie", "beef_tartare", "beignets", "bibimbap", "caesar_salad", "cannoli", "ceviche", "dumplings", "edamame"),
    "food-101",
)

INDOOR67 = record(
    "indoor67",
    "MIT Indoor-67",
    RESEARCH,
    "Quattoni, Torralba, Recognizing Indoor Scenes, CVPR 2009",
    "indoor scenes of 67 kinds",
    "TrainImages.txt, TestImages.txt and Images/<scene>/*.jpg, of which the listed ones are read",
    (
        archive(
            "http://groups.csail.mit.edu/vision/LabelMe/NewImages/", "indoorCVPR_09.tar", part="Images", note="2.4 GB"
        ),
        Source("http://web.mit.edu/torralba/www/", {"TrainImages.txt": None, "TestImages.txt": None}),
    ),
    text_lists(
        {"TrainImages.txt": "train", "TestImages.txt": "test"},
        _WITH_FOLDER,
        "Images/{file}",
        lambda image, label, number: f"{label}/{image}.jpg",
    ),
    67,
    {"train": 5_360, "test": 1_340},
    ("airport_inside", "artstudio", "bakery", "bar", "bathroom", "bedroom", "bookstore", "bowling", "buffet", "casino"),
    "indoorCVPR_09",
)

DEEP_WEEDS = record(
    "deep_weeds",
    "DeepWeeds",
    "CC BY 4.0",
    "Olsen et al., DeepWeeds: A Multiclass Weed Species Image Dataset for Deep Learning, Scientific Reports 2019",
    "eight weeds of Queensland and what is none; unbalanced",
    "labels.csv (Filename, Label, Species) and images/*.jpg",
    (by_hand("https://github.com/AlexOlsen/DeepWeeds", "the authors link images.zip; labels/labels.csv is there"),),
    text_lists(
        {"labels.csv": None},
        r"(?P<file>[^,]+),\d+,(?P<label>.+)",
        "images/{file}",
        lambda image, label, number: f"{image}.jpg,{number - 1},{label}",
        header=1,
    ),
    9,
    {None: 17_509},
    (
        "Chinee apple",
        "Lantana",
        "Negative",
        "Parkinsonia",
        "Parthenium",
        "Prickly acacia",
        "Rubber vine",
        "Siam weed",
        "Snake weed",
    ),
    "DeepWeeds",
)

LISTED_RECORDS = (
    FLOWERS102,
    PETS,
    STANFORD_DOGS,
    STANFORD_CARS,
    FGVC_AIRCRAFT,
    CUB200,
    DTD,
    FOOD101,
    INDOOR67,
    DEEP_WEEDS,
)
