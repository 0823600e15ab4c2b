"""The public sets that are nothing but a folder for each class.

Addresses and hashes are those of torchvision where it has the set, else their authors' or those of TensorFlow Datasets.
Sizes and classes are what their authors give, for `lab data verify` to compare with.
"""

from __future__ import annotations

from lab.data.public.building import RESEARCH, archive, by_hand, record
from lab.data.public.layouts import class_folders

EUROSAT = record(
    "eurosat",
    "EuroSAT (RGB)",
    "MIT",
    "Helber, Bischke, Dengel, Borth, EuroSAT, IEEE Journal of Selected Topics in Applied Earth Observations 2019",
    "satellite images of ten kinds of land, 64 x 64",
    "<class>/*.jpg",
    (
        archive(
            "https://huggingface.co/datasets/torchgeo/eurosat/resolve/c877bcd43f099cd0196738f714544e355477f3fd/",
            "EuroSAT.zip",
            "md5:c8fa014336c82ac7804f0398fcb19387",
        ),
    ),
    class_folders("AnnualCrop", {"": None}),
    10,
    {None: 27_000},
    ("AnnualCrop", "Forest", "HerbaceousVegetation", "Highway", "Industrial", "Pasture", "PermanentCrop", "Residential",
     "River", "SeaLake"),
    "eurosat/2750",
    "EuroSAT",
    "EuroSAT_RGB",
)  # fmt: skip

UC_MERCED = record(
    "uc_merced",
    "UC Merced Land Use",
    "public domain (United States Geological Survey); cite the paper",
    "Yang, Newsam, Bag-of-Visual-Words and Spatial Extensions for Land-Use Classification, SIGSPATIAL 2010",
    "aerial images of 21 kinds of land, 100 each",
    "Images/<class>/*.tif",
    (archive("http://weegee.vision.ucmerced.edu/datasets/", "UCMerced_LandUse.zip", note="0.3 GB"),),
    class_folders("Images/agricultural", {"Images": None}, ending=".tif"),
    21,
    {None: 2_100},
    ("agricultural", "airplane", "baseballdiamond", "beach", "buildings", "chaparral", "forest", "freeway", "harbor"),
    "UCMerced_LandUse",
)

RESISC45 = record(
    "resisc45",
    "NWPU-RESISC45",
    RESEARCH,
    "Cheng, Han, Lu, Remote Sensing Image Scene Classification, Proceedings of the IEEE 2017",
    "aerial images of 45 kinds of scenes, 700 each",
    "<class>/*.jpg",
    (by_hand("https://gcheng-nwpu.github.io/", "the authors link NWPU-RESISC45.rar"),),
    class_folders("thermal_power_station", {"": None}),
    45,
    {None: 31_500},
    (
        "airplane",
        "airport",
        "beach",
        "bridge",
        "church",
        "desert",
        "forest",
        "harbor",
        "island",
        "thermal_power_station",
    ),
    "NWPU-RESISC45",
)

CALTECH101 = record(
    "caltech101",
    "Caltech-101",
    "CC BY 4.0",
    "Fei-Fei, Fergus, Perona, Learning Generative Visual Models from Few Training Examples, CVPR workshop 2004",
    "things of 101 kinds, unbalanced",
    "<class>/*.jpg, BACKGROUND_Google left out",
    (
        by_hand(
            "https://data.caltech.edu/records/mzrjq-6wc02",
            "caltech-101.zip (md5 3138e1922a9193bfa496528edbbc45d0); images in 101_ObjectCategories.tar.gz in it",
        ),
    ),
    class_folders("accordion", {"": None}, leave_out=("BACKGROUND_Google",)),
    101,
    {None: 8_677},
    ("accordion", "airplanes", "anchor", "ant", "barrel", "bass", "beaver", "binocular", "bonsai", "brain"),
    "caltech101/101_ObjectCategories",
    "101_ObjectCategories",
)

CALTECH256 = record(
    "caltech256",
    "Caltech-256",
    "CC BY 4.0",
    "Griffin, Holub, Perona, Caltech-256 Object Category Dataset, 2007",
    "things of 256 kinds, 80 and more each",
    "<number>.<class>/*.jpg, 257.clutter left out",
    (
        archive(
            "https://data.caltech.edu/records/nyy15-4j048/files/",
            "256_ObjectCategories.tar",
            "md5:67b4f42ca05d46448c6bb8ecd2220f6d",
            note="1.2 GB",
        ),
    ),
    class_folders("001.ak47", {"": None}, leave_out=("257.clutter",)),
    256,
    {None: 29_780},
    ("001.ak47", "002.american-flag", "003.backpack", "004.baseball-bat", "005.baseball-glove", "006.basketball-hoop"),
    "caltech256/256_ObjectCategories",
    "256_ObjectCategories",
)

IMAGENETTE = record(
    "imagenette",
    "Imagenette",
    "Apache-2.0 for the selection; ImageNet's terms for the images",
    "Howard, Imagenette, 2019",
    "ten classes of ImageNet that are easily told apart",
    "train/<wnid>/*.JPEG and val/<wnid>/*.JPEG, which is the test split here",
    (
        archive(
            "https://s3.amazonaws.com/fast-ai-imageclas/",
            "imagenette2-320.tgz",
            "md5:3df6f0d01a2c9592104656642f5e78a3",
            note="0.3 GB",
        ),
    ),
    class_folders(
        "train/n01440764",
        {"train": "train", "val": "test"},
        ending=".JPEG",
        names={
            "n01440764": "tench",
            "n02102040": "English springer",
            "n02979186": "cassette player",
            "n03000684": "chain saw",
            "n03028079": "church",
            "n03394916": "French horn",
            "n03417042": "garbage truck",
            "n03425413": "gas pump",
            "n03445777": "golf ball",
            "n03888257": "parachute",
        },
    ),
    10,
    {"train": 9_469, "test": 3_925},
    ("tench", "English springer", "cassette player", "chain saw", "church", "French horn", "garbage truck", "gas pump",
     "golf ball", "parachute"),
    "imagenette2",
    "imagenette2-320",
    "imagenette2-160",
)  # fmt: skip

BEANS = record(
    "beans",
    "Beans",
    "MIT",
    "Makerere AI Lab, Bean disease dataset, 2020",
    "bean leaves, healthy and with two diseases",
    "train/<class>/*.jpg, validation/<class>/*.jpg and test/<class>/*.jpg",
    tuple(
        archive("https://storage.googleapis.com/ibeans/", f"{part}.zip", part=part)
        for part in ("train", "validation", "test")
    ),
    class_folders("train/bean_rust", {"train": "train", "validation": "val", "test": "test"}),
    3,
    {"train": 1_034, "val": 133, "test": 128},
    ("angular_leaf_spot", "bean_rust", "healthy"),
)

TF_FLOWERS = record(
    "tf_flowers",
    "TF flowers",
    "CC BY 2.0, each image its owner's, see LICENSE.txt in it",
    "The TensorFlow Team, Flowers, 2019",
    "flowers of five kinds",
    "<class>/*.jpg",
    (archive("https://download.tensorflow.org/example_images/", "flower_photos.tgz", note="0.2 GB"),),
    class_folders("dandelion", {"": None}),
    5,
    {None: 3_670},
    ("daisy", "dandelion", "roses", "sunflowers", "tulips"),
    "flower_photos",
)

PLANT_VILLAGE = record(
    "plant_village",
    "PlantVillage",
    "CC0 1.0",
    "Hughes, Salathe, An open access repository of images on plant health, 2015",
    "leaves of 14 plants, healthy and with diseases, in 38 classes",
    "<class>/*.JPG, Background_without_leaves left out",
    (
        by_hand(
            "https://data.mendeley.com/datasets/tywbtsjrjv/1",
            "Plant_leaf_diseases_dataset_without_augmentation.zip, 0.8 GB",
        ),
    ),
    class_folders("Apple___Apple_scab", {"": None}, ending=".JPG", leave_out=("Background_without_leaves",)),
    38,
    {None: 54_303},
    ("Apple___Apple_scab", "Apple___Black_rot", "Apple___healthy", "Grape___healthy", "Tomato___healthy"),
    "Plant_leave_diseases_dataset_without_augmentation",
    "PlantVillage",
)

CITRUS_LEAVES = record(
    "citrus_leaves",
    "Citrus leaves",
    "CC BY 4.0",
    "Rauf et al., A citrus fruits and leaves dataset for detection and classification of citrus diseases, 2019",
    "citrus leaves, healthy and with three diseases; small",
    "Citrus/Leaves/<class>/*.png, Melanose left out, which holds few and other images",
    (by_hand("https://data.mendeley.com/datasets/3f83gxmv57/2", "citrus.zip"),),
    class_folders("Citrus/Leaves/canker", {"Citrus/Leaves": None}, ending=".png", leave_out=("Melanose", "melanose")),
    4,
    {None: 594},
    ("Black spot", "canker", "greening", "healthy"),
)

COLORECTAL = record(
    "colorectal_histology",
    "Colorectal histology",
    "CC BY 4.0",
    "Kather et al., Multi-class texture analysis in colorectal cancer histology, Scientific Reports 2016",
    "tissue of eight kinds, 150 x 150",
    "<number>_<CLASS>/*.tif",
    (archive("https://zenodo.org/record/53169/files/", "Kather_texture_2016_image_tiles_5000.zip", note="0.25 GB"),),
    class_folders("01_TUMOR", {"": None}, ending=".tif"),
    8,
    {None: 5_000},
    ("01_TUMOR", "02_STROMA", "03_COMPLEX", "04_LYMPHO", "05_DEBRIS", "06_MUCOSA", "07_ADIPOSE", "08_EMPTY"),
    "Kather_texture_2016_image_tiles_5000",
)

MALARIA = record(
    "malaria",
    "Malaria cells",
    "public, United States National Library of Medicine; cite the paper",
    "Rajaraman et al., Pre-trained convolutional neural networks as feature extractors, PeerJ 2018",
    "blood cells with and without the parasite",
    "Parasitized/*.png and Uninfected/*.png",
    (archive("https://data.lhncbc.nlm.nih.gov/public/Malaria/", "cell_images.zip", note="0.4 GB"),),
    class_folders("Parasitized", {"": None}, ending=".png", leave_out=("cell_images",)),
    2,
    {None: 27_558},
    ("Parasitized", "Uninfected"),
    "cell_images",
)

_MORONEY = "https://storage.googleapis.com/laurencemoroney-blog.appspot.com/"

ROCK_PAPER_SCISSORS = record(
    "rock_paper_scissors",
    "Rock, Paper, Scissors",
    "CC BY 2.0",
    "Moroney, Rock, Paper, Scissors Dataset, 2019",
    "rendered hands, three classes",
    "rps/<class>/*.png and rps-test-set/<class>/*.png",
    tuple(archive(_MORONEY, f"{part}.zip", part=part) for part in ("rps", "rps-test-set")),
    class_folders("rps/rock", {"rps": "train", "rps-test-set": "test"}, ending=".png"),
    3,
    {"train": 2_520, "test": 372},
    ("paper", "rock", "scissors"),
)

HORSES_OR_HUMANS = record(
    "horses_or_humans",
    "Horses or Humans",
    "CC BY 2.0",
    "Moroney, Horses or Humans Dataset, 2019",
    "rendered horses and humans",
    "horse-or-human/<class>/*.png and validation-horse-or-human/<class>/*.png, which is the test split here",
    tuple(archive(_MORONEY, f"{part}.zip", part=part) for part in ("horse-or-human", "validation-horse-or-human")),
    class_folders(
        "horse-or-human/horses", {"horse-or-human": "train", "validation-horse-or-human": "test"}, ending=".png"
    ),
    2,
    {"train": 1_027, "test": 256},
    ("horses", "humans"),
)

CATS_VS_DOGS = record(
    "cats_vs_dogs",
    "Cats vs Dogs",
    RESEARCH,
    "Elson, Douceur, Howell, Saul, Asirra, CCS 2007",
    "photographs of cats and dogs; two files of the published copy are damaged and have to be deleted",
    "PetImages/Cat/*.jpg and PetImages/Dog/*.jpg",
    (by_hand("https://www.microsoft.com/en-us/download/details.aspx?id=54765", "0.8 GB"),),
    class_folders("PetImages/Cat", {"PetImages": None}),
    2,
    {None: 24_998},
    ("Cat", "Dog"),
)

FOLDER_RECORDS = (
    EUROSAT,
    UC_MERCED,
    RESISC45,
    CALTECH101,
    CALTECH256,
    IMAGENETTE,
    BEANS,
    TF_FLOWERS,
    PLANT_VILLAGE,
    CITRUS_LEAVES,
    COLORECTAL,
    MALARIA,
    ROCK_PAPER_SCISSORS,
    HORSES_OR_HUMANS,
    CATS_VS_DOGS,
)
