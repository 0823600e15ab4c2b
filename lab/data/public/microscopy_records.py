"""Published sets of plankton and of cells.

Numbers of images are what their authors give, as far as it is known; where only others say it, `lab data verify` will
tell how a copy differs.
"""

from __future__ import annotations

from lab.data.public.building import archive, by_hand, record
from lab.data.public.layouts import class_folders
from lab.data.public.microscopy_layouts import (
    ObjectConfig,
    TaxaConfig,
    UnsplitObjectConfig,
    YearConfig,
    cropped_cells,
    taxa_table,
    twofold_folders,
    year_folders,
)

LENSLESS = record(
    "lensless_plankton",
    "Lensless plankton",
    "not stated; for research",
    "Pastore, Zimmerman, Biswas, Bianco, Annotation-free learning of plankton, Scientific Reports 10:12142, 2020",
    "ten freshwater species under a lensless microscope, 640 each, in colour",
    "TRAIN_IMAGE/<class>/*.jpg and TEST_IMAGE/<class>/*.jpg, the folder of the part once or twice",
    (by_hand("https://ibm.box.com/v/PlanktonData", "consecutive frames of one individual are in both splits"),),
    twofold_folders({"TRAIN_IMAGE": "train", "TEST_IMAGE": "test"}),
    10,
    {"train": 5_000, "test": 1_400},
    ("ACTINOSPHAERIUM NUCLEOFILUM", "ARCELLA VULGARIS", "BLEPHARISMA AMERICANUM", "DIDINIUM NASUTUM", "DILEPTUS",
     "EUPLOTES EURYSTOMUS", "PARAMECIUM BURSARIA", "SPIROSTOMUM AMBIGUUM", "STENTOR COERULEUS", "VOLVOX"),
    "plankton/original",
    "original",
    "PlanktonData",
    options=ObjectConfig,
)  # fmt: skip

WHOI22 = record(
    "whoi22",
    "WHOI-22",
    "not stated; for research",
    "Sosik, Olson, Automated taxonomic classification of phytoplankton, Limnology and Oceanography: Methods 5, 2007",
    "22 classes of phytoplankton from an Imaging FlowCytobot, 150 + 150 each, grey",
    "train/<class>/*.png and test/<class>/*.png",
    (by_hand("https://doi.org/10.4319/lom.2007.5.204", "two archives of its web appendix: train and test"),),
    class_folders("train/[Dd]itylum*", {"train": "train", "test": "test"}, ending=".png"),
    22,
    {"train": 3_300, "test": 3_300},
    ("asterionellopsis", "chaetoceros", "ciliate", "cylindrotheca", "detritus", "dinobryon", "ditylum", "euglena"),
    "WHOI22",
    options=ObjectConfig,
)

WHOI15 = record(
    "whoi15",
    "WHOI-15",
    "that of WHOI-Plankton, which the images are taken from: see its page",
    "Ciranni, Odone, Pastore, Anomaly detection in feature space, Frontiers in Marine Science 10, 2024",
    "15 classes of phytoplankton from an Imaging FlowCytobot in four years, grey, unbalanced",
    "<year>/train/<class>/*.png",
    (by_hand("https://github.com/Malga-Vision", "in the repository of the paper, WHOI15_2007-2010, 0.9 GB"),),
    year_folders(),
    15,
    {None: 0},
    ("Asterionellopsis", "Chaetoceros", "Cylindrotheca", "Dactyliosolen", "detritus", "Dinobryon", "Ditylum",
     "Licmophora", "pennate", "Phaeocystis"),
    "WHOI15_2007-2010",
    options=YearConfig,
)  # fmt: skip

ZOOSCAN = record(
    "zooscan",
    "ZooScanNet",
    "CC BY-NC 4.0, see its page",
    "Elineau et al., ZooScanNet: plankton images captured with the ZooScan, SEANOE, 2018",
    "1.45 million images of zooplankton of 98 taxa, grey, with a printed scale bar",
    "taxa.csv.gz, and the images that it names",
    (by_hand("https://doi.org/10.17882/55741", "taxa.csv.gz and the archive of the images"),),
    taxa_table(),
    98,
    {"train": 0, "val": 0, "test": 0},
    ("Calanoida", "Copepoda", "Chaetognatha", "detritus", "Oikopleuridae", "Ostracoda", "bubble", "fiber"),
    "ZooScanNet",
    options=TaxaConfig,
)

NDSB = record(
    "ndsb",
    "National Data Science Bowl (PlanktonSet 1.0)",
    "see its page; not to be passed on",
    "Cowen et al., PlanktonSet 1.0, NOAA National Centers for Environmental Information, 2015",
    "plankton of 121 classes from an in-situ camera, grey, unbalanced",
    "train/<class>/*.jpg; the competition's test images have no labels and are left out",
    (by_hand("https://doi.org/10.7289/V5D21VJD", "or train.zip of the Kaggle competition datasciencebowl"),),
    class_folders("train/acantharia_protist", {"train": None}),
    121,
    {None: 30_336},
    ("acantharia_protist", "artifacts", "chaetognath_sagitta", "copepod_calanoid", "diatom_chain_tube", "fecal_pellet",
     "hydromedusae_solmaris", "radiolarian_chain", "trichodesmium_tuft", "tunicate_doliolid"),
    "datasciencebowl",
    "PlanktonSet",
    options=UnsplitObjectConfig,
)  # fmt: skip

VACUOLES = record(
    "yeast_vacuoles",
    "Yeast vacuoles",
    "see its repository",
    "Pastore et al., Unsupervised learning of vacuole phenotypes in budding yeast, ICIAP 2023",
    "budding yeast in four phenotypes; depth as colour, 80 x 80",
    "images/train_annotated/<class>/* and images/test/<class>/*",
    (
        archive(
            "https://github.com/CCCofficial/Vacuoles-dataset-unsupervised-learning/raw/main/",
            "Dataset.zip",
            note="what the paper says of its size does not add up",
        ),
    ),
    class_folders("images/train_annotated", {"images/train_annotated": "train", "images/test": "test"}, ending=".png"),
    4,
    {"train": 0, "test": 0},
    ("condensed", "multiple", "negative", "positive"),
    "vacuoles",
    "Dataset",
    options=ObjectConfig,
)

SIPAKMED = record(
    "sipakmed",
    "SIPaKMeD",
    "free for experiments, with citation",
    "Plissiti et al., SIPaKMeD: a new dataset for feature and image based classification of cells, ICIP 2018",
    "4,049 cells from Pap smears, in five classes, in colour",
    "<class>/CROPPED/*.bmp, the folder of the class once or twice; cells of one picture share the start of their names",
    (by_hand("https://www.cs.uoi.gr/~marina/sipakmed.html", "an archive for each class"),),
    cropped_cells(),
    5,
    {None: 4_049},
    ("Dyskeratotic", "Koilocytotic", "Metaplastic", "Parabasal", "Superficial-Intermediate"),
    "SIPaKMeD",
    options=UnsplitObjectConfig,
)

MICROSCOPY_RECORDS = (LENSLESS, WHOI22, WHOI15, ZOOSCAN, NDSB, VACUOLES, SIPAKMED)
