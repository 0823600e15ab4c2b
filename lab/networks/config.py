"""Options of networks and optimisers. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from lab.config.fields import added_option, file_option, option


@dataclass
class NetworkConfig:
    """A classification network: a backbone that makes features, and a head that makes logits."""

    arch: str = option(
        "cnn", "cnn, or a name of torchvision, timm or open_clip: resnet50, timm/resnet50, open_clip/RN50"
    )
    arch_options: dict[str, Any] = option(help="passed to the builder of the architecture", factory=dict)
    weights: str = file_option("none", "none, a file (.safetensors, .pth), or a set: imagenet, IMAGENET1K_V2 …")
    input_size: int | None = option(None, "side that images are resized to before the backbone; absent: as they are")
    mean: list[float] | None = option(None, "subtracted from pixels in [0, 1]; absent: as the weights need")
    std: list[float] | None = option(None, "divides them then; [0.5] and [0.5] put pixels in [-1, 1]")
    feature_dim: int | None = added_option(
        None, "a layer of so many ReLU units between backbone and head makes the features (MoDAD: 128)"
    )
    trained_from: str | None = added_option(
        None,
        "first part of the backbone that is trained, such as blocks.5, or head for the last layer alone; parts before "
        "it keep their weights, and batch normalisation everywhere its statistics",
    )

    def check(self) -> Iterator[tuple[str, str]]:
        if self.input_size is not None and self.input_size < 8:
            yield "input_size", f"must be at least 8 pixels, is {self.input_size}"
        if self.feature_dim is not None and self.feature_dim < 1:
            yield "feature_dim", f"must be at least 1, is {self.feature_dim}"
        if (self.mean is None) != (self.std is None):
            yield "std", "give both mean and std, or neither"
        for name in ("mean", "std"):
            values = getattr(self, name)
            if values is not None and len(values) not in (1, 3):
                yield name, f"needs one number or three, has {len(values)}"
        if self.std is not None and min(self.std, default=1.0) <= 0:
            yield "std", "must be above 0"


@dataclass
class HeatmapNetworkConfig:
    """A network that makes a map for each landmark: an encoder, and a decoder back to the image's size."""

    arch: Literal["unet", "unet++"] = option("unet", "how the decoder is connected to the encoder")
    encoder: str = option("resnet18", "of segmentation_models_pytorch (vgg19, densenet161 …), or timm/NAME")
    encoder_options: dict[str, Any] = option(help="passed to timm's builder of the encoder", factory=dict)
    encoder_weights: str = file_option(
        "none", "none, a file (.safetensors, .pth), or a set of the encoder's library: imagenet, IMAGENET1K_V1 …"
    )
    decoder_channels: tuple[int, ...] = option(
        (256, 128, 64, 32, 16), "channels of the decoder's levels; each one more halves the image once more"
    )
    trained: Literal["all", "decoder"] = option("all", "decoder: the encoder keeps its weights and statistics")
    mean: float = option(0.5, "subtracted from grey levels in [0, 1]; 0.449 for weights made on ImageNet")
    std: float = option(0.5, "divides them then, so that by default they are in [-1, 1]; 0.226 for ImageNet")

    def check(self) -> Iterator[tuple[str, str]]:
        if not 1 <= len(self.decoder_channels) <= 5 or min(self.decoder_channels) < 1:
            yield "decoder_channels", f"needs one to five numbers above 0, is {list(self.decoder_channels)}"
        if self.encoder_options and not self.encoder.startswith("timm/"):
            yield "encoder_options", f"are for encoders of timm (timm/NAME); {self.encoder} takes none"
        if self.std <= 0:
            yield "std", f"must be above 0, is {self.std}"


@dataclass
class OptimizerConfig:
    """Options of the optimiser, for modules to inherit: they stand beside the module's own."""

    optimizer: Literal["adamw", "adam", "sgd"] = option("adamw", "update rule")
    lr: float = option(1e-3, "learning rate after the warm-up")
    weight_decay: float = option(0.01, "decoupled for adamw, added to the gradient for adam and sgd")
    momentum: float = option(0.9, "of sgd; the others keep their usual betas")
    schedule: Literal["constant", "cosine"] = option("constant", "learning rate after the warm-up; cosine ends at 0")
    warmup: float = option(0.0, "share of all steps in which the learning rate rises linearly from 0")

    def check(self) -> Iterator[tuple[str, str]]:
        if self.lr <= 0:
            yield "lr", f"must be above 0, is {self.lr}"
        if self.weight_decay < 0:
            yield "weight_decay", f"must be at least 0, is {self.weight_decay}"
        if not 0 <= self.momentum < 1:
            yield "momentum", f"must be in [0, 1), is {self.momentum}"
        if not 0 <= self.warmup < 1:
            yield "warmup", f"is a share of the steps in [0, 1), is {self.warmup}"
