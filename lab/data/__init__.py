"""Data sets: official layouts, cards and stand-ins. This package's own imports stay free of torch."""

from lab.registry import Component, Plugin

PLUGIN = Plugin(
    "data",
    summary="data sets that come with lab",
    components=(
        Component(
            "data",
            "waterbirds",
            config="lab.data.waterbirds:WaterbirdsConfig",
            target="lab.data.modules:WaterbirdsDataModule",
            dataset="lab.data.waterbirds:Waterbirds",
            summary="birds on land and water backgrounds (95 % aligned), official layout",
        ),
        Component(
            "data",
            "biased_mnist",
            config="lab.data.biased_mnist:BiasedMnistConfig",
            target="lab.data.modules:BiasedMnistDataModule",
            dataset="lab.data.biased_mnist:BiasedMnist",
            summary="MNIST, Fashion-MNIST or KMNIST with a background colour that goes with the class",
        ),
        Component(
            "data",
            "shapes",
            config="lab.data.shapes:ShapesConfig",
            target="lab.data.modules:ShapesDataModule",
            dataset="lab.data.shapes:Shapes",
            summary="drawn shapes with a controllable colour bias, no files needed",
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
