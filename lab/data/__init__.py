"""Data sets: official layouts, cards and stand-ins. This package's own imports stay free of torch."""

from __future__ import annotations

from lab.data.public import RECORDS
from lab.registry import Component, Plugin


def _images(name: str, dataset: str, config: str, summary: str) -> Component:
    """Labelled images; `dataset` is a file of this package and the class in it, `config` a class in the same file."""
    file = f"lab.data.{dataset.partition(':')[0]}"
    return Component(
        "data",
        name,
        config=f"{file}:{config}",
        target="lab.data.module:ImageDataModule",
        dataset=f"lab.data.{dataset}",
        summary=summary,
    )


PLUGIN = Plugin(
    "data",
    summary="data sets that come with lab",
    components=(
        _images(
            "waterbirds",
            "waterbirds:Waterbirds",
            "WaterbirdsConfig",
            "birds on land and water backgrounds (95 % aligned), official layout",
        ),
        _images(
            "celeba",
            "celeba:Celeba",
            "CelebaConfig",
            "faces, blond hair by sex or any other two of 40 attributes, csv and txt forms",
        ),
        _images(
            "bffhq",
            "bffhq:Bffhq",
            "BffhqConfig",
            "faces, young or old by gender (0.5 % conflicting), the layout of DisEnt",
        ),
        _images(
            "bar",
            "bar:Bar",
            "BarConfig",
            "six actions in usual places, tested in others; original and BiasEnsemble forms",
        ),
        _images(
            "imagenet9",
            "imagenet9:ImageNet9",
            "ImageNet9Config",
            "nine animals out of 42 classes of ImageNet, tested on ImageNet-A",
        ),
        _images(
            "urbancars",
            "urbancars:UrbanCars",
            "UrbanCarsConfig",
            "cars with two shortcuts, scene and object (95 % each), official layout",
        ),
        _images(
            "corrupted_cifar10",
            "corrupted_cifar10:CorruptedCifar10",
            "CorruptedCifar10Config",
            "CIFAR-10 with a corruption that goes with the class; built from CIFAR-10, or DisEnt's images",
        ),
        _images(
            "image_groups",
            "groups_csv:ImageGroups",
            "ImageGroupsConfig",
            "your own images: a folder and a CSV file with path, label, bias, split",
        ),
        _images(
            "biased_mnist",
            "biased_mnist:BiasedMnist",
            "BiasedMnistConfig",
            "MNIST, Fashion-MNIST or KMNIST with a background colour that goes with the class",
        ),
        _images(
            "shapes", "shapes:Shapes", "ShapesConfig", "drawn shapes with a controllable colour bias, no files needed"
        ),
        _images(
            "outlines",
            "outlines:Outlines",
            "OutlinesConfig",
            "drawn outlines of as many classes and families as wanted, no files needed",
        ),
        _images(
            "image_classes",
            "image_classes:ImageClasses",
            "ImageClassesConfig",
            "your own images: a folder for each class, or a ZIP file of that",
        ),
        _images(
            "unlabelled_images",
            "unlabelled:UnlabelledImages",
            "UnlabelledConfig",
            "your own images without labels: a folder, or a ZIP file of one",
        ),
        _images(
            "drawn_plankton",
            "microscopy.drawn_plankton:DrawnPlankton",
            "DrawnPlanktonConfig",
            "drawn plankton of up to twelve species, no files needed",
        ),
        _images(
            "drawn_cells",
            "microscopy.drawn_cells:DrawnCells",
            "DrawnCellsConfig",
            "drawn cells whose classes are made by factors of choice, no files needed",
        ),
        _images(
            "texture_dsprites",
            "microscopy.texture_dsprites:TextureDsprites",
            "TextureDspritesConfig",
            "dSprites with textures and colours; neighbouring rows differ in the factor that is their label",
        ),
        Component(
            "data",
            "texture_pairs",
            config="lab.data.microscopy.texture_dsprites:TextureDspritesConfig",
            target="lab.data.microscopy.pairs:TexturePairs",
            summary="the same as pairs of images, with all factors",
        ),
        *(
            Component(
                "data",
                record.name,
                config=f"{record.config.__module__}:{record.config.__name__}",
                target="lab.data.module:ImageDataModule",
                dataset=f"lab.data.public:{record.name}",
                summary=record.summary,
            )
            for record in RECORDS.values()
        ),
        *(
            Component(
                "data",
                name,
                config=f"lab.data.scans.{file}:{dataset}Config",
                target="lab.data.scans.module:SliceDataModule",
                dataset=f"lab.data.scans.{file}:{dataset}",
                summary=summary,
            )
            for name, file, dataset, summary in (
                ("mr_art", "mr_art", "MrArt", "148 heads scanned still and moving (BIDS, readers' scores)"),
                ("ixi", "ixi", "Ixi", "healthy heads from three hospitals, T1 or T2; motion is simulated"),
                ("fastmri_brain", "fastmri", "FastMri", "fastMRI's axial brain scans, with raw k-space"),
                ("scan_folder", "scan_folder", "ScanFolder", "your own scans: a folder of NIfTI files or DICOM series"),
                ("image_slices", "image_slices", "ImageSlices", "brain slices saved as pictures: a folder or ZIP file"),
            )
        ),
        *(
            Component(
                "data",
                name,
                config=f"lab.data.landmarks.{file}:{dataset}Config",
                target="lab.data.landmarks.module:LandmarkDataModule",
                dataset=f"lab.data.landmarks.{file}:{dataset}",
                summary=summary,
            )
            for name, file, dataset, summary in (
                ("chest_landmarks", "chest", "ChestLandmarks", "6 landmarks of the lungs on Shenzhen radiographs"),
                (
                    "cephalometric_landmarks",
                    "cephalometric",
                    "CephalometricLandmarks",
                    "19 landmarks of the skull, two readers (ISBI 2015)",
                ),
                ("hand_landmarks", "hand", "HandLandmarks", "37 landmarks of the hand (Digital Hand Atlas)"),
                (
                    "image_landmarks",
                    "own",
                    "ImageLandmarks",
                    "your own images: a folder and a CSV file with image, x0, y0, x1, y1 …",
                ),
            )
        ),
        Component(
            "data",
            "generated_images",
            config="lab.data.generated:GeneratedImagesConfig",
            target="lab.data.module:GeneratedImages",
            summary="images that a predict stage generated, labelled by the class each was made for",
        ),
        Component(
            "data",
            "class_grid",
            config="lab.data.generated:ClassGridConfig",
            target="lab.data.module:ClassGrid",
            summary="requests for generated images, the same number for each class",
        ),
    ),
)
