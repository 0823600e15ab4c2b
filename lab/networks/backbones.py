"""Classification networks by name: own small ones, torchvision's, timm's and open_clip's, all with the same face."""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast
from urllib.request import urlopen

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from lab.errors import UnknownName, UserError
from lab.networks.config import NetworkConfig
from lab.networks.weights import is_file_name, load_state, read_state

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CENTRED = ((0.5,), (0.5,))
REACH_SECONDS = 5.0


class Classifier(nn.Module):
    """A backbone, its head, and the preparation of its input.

    Takes float images (B, C, H, W) in [0, 1], C being 1 or 3; resizing, grey to RGB and normalisation are inside.

    Args:
        trunk: module that makes what the head takes: vectors (B, d) or maps (B, d, h, w).
        head: module that makes logits (B, num_classes) from that.
        num_features: d.
        channels: what the trunk takes; grey images are repeated where it is 3.
        mean, std: of one number or `channels` numbers.
        input_size: side of the square that images are resized to, or None.
    """

    mean: Tensor
    std: Tensor
    fixed_statistics = False
    """Whether batch normalisation uses its running statistics in training, too, and keeps them."""

    def __init__(
        self,
        trunk: nn.Module,
        head: nn.Module,
        num_features: int,
        channels: int,
        mean: tuple[float, ...] = CENTRED[0],
        std: tuple[float, ...] = CENTRED[1],
        input_size: int | None = None,
    ):
        super().__init__()
        self.trunk = trunk
        self.head = head
        self.num_features = num_features
        self.channels = channels
        self.input_size = input_size
        # not in the state dict: they follow from the options
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1), persistent=False)

    def train(self, mode: bool = True) -> Classifier:
        super().train(mode)
        if self.fixed_statistics:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def prepare(self, images: Tensor) -> Tensor:
        """Images as the trunk takes them."""
        if self.input_size is not None:
            images = resize(images, self.input_size)
        if images.shape[1] != self.channels:
            images = images.expand(-1, self.channels, -1, -1)
        return (images - self.mean) / self.std

    def encode(self, images: Tensor) -> Tensor:
        """What the head takes."""
        encoded: Tensor = self.trunk(self.prepare(images))
        return encoded

    @staticmethod
    def pool(encoded: Tensor) -> Tensor:
        """Features (B, num_features) of what `encode` made."""
        return encoded.mean((2, 3)) if encoded.ndim == 4 else encoded

    def features(self, images: Tensor) -> Tensor:
        """Features (B, num_features)."""
        return self.pool(self.encode(images))

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, num_classes)."""
        logits: Tensor = self.head(self.encode(images))
        return logits


def resize(images: Tensor, side: int) -> Tensor:
    """Images (B, C, side, side), by antialiased bilinear interpolation."""
    if images.shape[-2:] == (side, side):
        return images
    return F.interpolate(images, (side, side), mode="bilinear", antialias=True, align_corners=False)


class SmallCNN(nn.Sequential):
    """Three convolutions with group normalisation, each halving the image, then the mean over positions.

    Without batch statistics, so that a batch divided over devices gives what the whole one gives.
    """

    def __init__(self, channels: int, width: int = 32):
        layers: list[nn.Module] = []
        for out in (width, 2 * width, 4 * width):
            layers += [
                nn.Conv2d(channels, out, 3, padding=1, bias=False),
                nn.GroupNorm(math.gcd(8, out), out),
                nn.ReLU(),
                nn.MaxPool2d(2),
            ]
            channels = out
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.num_features = channels


def build_classifier(
    config: NetworkConfig, num_classes: int, in_channels: int = 3, *, pretrained: bool = True
) -> Classifier:
    """The network of that configuration.

    Args:
        in_channels: of the images, 1 or 3.
        pretrained: False leaves the pretrained weights unread, for a network that is about to be given others; what
            else follows from `config.weights` (normalisation) stays.

    Raises:
        UserError: unknown architecture or part of it (with the nearest names), options it doesn't take, weights that
            are absent, damaged, don't fit, or can't be downloaded.
    """
    library, name = resolve(config.arch)
    build = {"own": _own, "torchvision": _torchvision, "timm": _timm, "open_clip": _open_clip}[library]
    channels = in_channels if library == "own" else 3
    try:
        model, norm = build(name, config, num_classes, channels, pretrained)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"network {config.arch}: can't be built with {dict(config.arch_options)}: {error}") from error
    if config.mean is not None and config.std is not None:
        norm = (tuple(config.mean), tuple(config.std))
    side = _open_clip_side(model[0]) if library == "open_clip" else config.input_size  # type: ignore[index]
    network = _split(model, _head_name(model, num_classes, config.arch), channels, norm, side)
    if config.trained_from is not None:
        _freeze(network, config)
    return network if config.feature_dim is None else _with_features(network, num_classes, config.feature_dim)


OWN: dict[str, Callable[..., SmallCNN]] = {"cnn": SmallCNN}
SEVERAL_OUTPUTS = ("googlenet", "inception_v3")
"""torchvision's networks whose training output is a tuple; timm's of the same names are plain."""


def resolve(arch: str) -> tuple[str, str]:
    """(`own` | `torchvision` | `timm` | `open_clip`, name) of an architecture.

    A bare name is looked for in that order; those of open_clip need their prefix, as in `open_clip/ViT-B-32`.

    Raises:
        UnknownName: with the nearest names.
    """
    if arch in OWN:
        return "own", arch
    library, _, name = arch.rpartition("/")
    prefix = f"{library}/" if library else ""
    known: list[str] = [] if library else list(OWN)
    if library in ("", "torchvision"):
        from torchvision import models

        names = [n for n in models.list_models(module=models) if n not in SEVERAL_OUTPUTS]
        if name in names:
            return "torchvision", name
        known += [prefix + n for n in names]
    if library in ("", "timm"):
        import timm

        if name and timm.is_model(name):
            return "timm", name
        known += [prefix + n for n in timm.list_models()]
    if library == "open_clip":
        names = _open_clip_library().list_models()
        if name in names:
            return "open_clip", name
        known += [prefix + n for n in names]
    raise UnknownName("network", arch, list(dict.fromkeys(known)) or ["torchvision/…", "timm/…", "open_clip/…", *OWN])


Norm = tuple[tuple[float, ...], tuple[float, ...]]


def _own(name: str, config: NetworkConfig, num_classes: int, channels: int, read: bool) -> tuple[nn.Module, Norm]:
    if config.weights != "none":
        raise UserError(
            f"network {name}: there are no pretrained weights for it, '{config.weights}' is not 'none'; "
            "to start from those of another stage, name it under the stage's `weights`"
        )
    trunk = OWN[name](channels, **config.arch_options)
    return nn.Sequential(trunk, nn.Linear(trunk.num_features, num_classes)), CENTRED


def _torchvision(
    name: str, config: NetworkConfig, num_classes: int, channels: int, read: bool
) -> tuple[nn.Module, Norm]:
    from torchvision import models

    model: nn.Module = models.get_model(name, weights=None, num_classes=num_classes, **config.arch_options)
    if config.weights == "none" or is_file_name(config.weights):
        return _from_file(model, config, num_classes, read), IMAGENET
    sets = models.get_model_weights(name)
    wanted = "DEFAULT" if config.weights == "imagenet" else config.weights
    if wanted not in sets.__members__:
        raise UnknownName(f"weights of {name}", config.weights, ["imagenet", *sets.__members__])
    chosen = sets[wanted]
    if read:
        try:
            state = chosen.get_state_dict(progress=False, check_hash=True)
        except (OSError, RuntimeError) as error:
            folder = Path(torch.hub.get_dir()) / "checkpoints"
            raise UserError(_offline(config, chosen.url, error, f"put it into {folder}, or ")) from error
        load_state(model, state, head=_head_name(model, num_classes, name), source=f"{name} {wanted}")
    transforms = chosen.transforms()
    return model, (tuple(transforms.mean), tuple(transforms.std))


def _timm(name: str, config: NetworkConfig, num_classes: int, channels: int, read: bool) -> tuple[nn.Module, Norm]:
    import timm

    named = config.weights != "none" and not is_file_name(config.weights)
    if named and config.weights != "imagenet":
        bare = name.partition(".")[0]
        tags = [n.partition(".")[2] for n in timm.list_pretrained(bare + ".*")]
        if config.weights not in tags:
            raise UnknownName(f"weights of {config.arch}", config.weights, ["imagenet", *tags])
        name = f"{bare}.{config.weights}"
    model = timm.create_model(name, num_classes=num_classes, **config.arch_options)
    cfg = cast("dict[str, Any]", model.pretrained_cfg)
    norm = (tuple(cfg.get("mean", IMAGENET[0])), tuple(cfg.get("std", IMAGENET[1])))
    if not named:
        return _from_file(model, config, num_classes, read), norm
    if read:
        overlay = {"file": _timm_file(config, cfg)}
        model = timm.create_model(
            name, pretrained=True, pretrained_cfg_overlay=overlay, num_classes=num_classes, **config.arch_options
        )
    return model, norm


def _open_clip_library() -> Any:
    if find_spec("open_clip") is None:
        raise UserError("networks named open_clip/… need the package open_clip; install lab[clip]")
    import open_clip

    return open_clip


def _open_clip(name: str, config: NetworkConfig, num_classes: int, channels: int, read: bool) -> tuple[nn.Module, Norm]:
    """The image tower of a CLIP, with a new head on what it is compared with texts by."""
    library, source = _open_clip_library(), config.weights
    if is_file_name(source):
        source = str(Path(source).expanduser())
        if read and not Path(source).is_file():
            raise UserError(f"network {config.arch}: no file {source}")
    elif source not in ("none", *(tags := library.list_pretrained_tags_by_model(name))):
        raise UnknownName(f"weights of {config.arch}", source, tags)
    pretrained = source if read and source != "none" else None
    try:
        made = library.create_model(
            name, pretrained=pretrained, force_image_size=config.input_size, **config.arch_options
        )
    except Exception as error:  # the hub's client, the readers and torch raise many kinds
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"network {config.arch}: weights '{config.weights}' can't be had: {reason[:160]}") from error
    visual = made.visual
    side = _open_clip_side(visual)
    with torch.no_grad():
        encoded = visual.eval()(torch.zeros(1, 3, side, side))
    if not isinstance(encoded, Tensor):
        raise UserError(f"network {config.arch}: its image tower makes several outputs; not supported")
    model = nn.Sequential(visual.train(), nn.Linear(encoded.shape[-1], num_classes))
    return model, (tuple(visual.image_mean), tuple(visual.image_std))


def _open_clip_side(visual: Any) -> int:
    """Side of the images that a tower takes, and no others."""
    size = visual.image_size
    return int(size[0] if isinstance(size, (tuple, list)) else size)


def _from_file(model: nn.Module, config: NetworkConfig, num_classes: int, read: bool) -> nn.Module:
    if read and config.weights != "none":
        state = read_state(Path(config.weights).expanduser())
        load_state(model, state, head=_head_name(model, num_classes, config.arch), source=config.weights)
    return model


def _timm_file(config: NetworkConfig, cfg: dict[str, Any]) -> str:
    """Path of timm's pretrained file, from the hub's cache or downloaded now."""
    import huggingface_hub as hub

    repo, file = cfg.get("hf_hub_id"), cfg.get("hf_hub_filename") or "model.safetensors"
    if not repo:
        raise UserError(f"network {config.arch}: timm has no pretrained weights for it; use weights: none or a file")
    # asked here because, without a network, the hub's own client retries for most of a minute, even for cached files
    cached = hub.try_to_load_from_cache(repo, file)
    if isinstance(cached, str):
        return cached
    url = hub.hf_hub_url(repo, file)
    try:
        urlopen(hub.constants.ENDPOINT, timeout=REACH_SECONDS).close()
        path: str = hub.hf_hub_download(repo, file)
        return path
    except Exception as error:  # the client's HTTP errors share no base class with Python's
        raise UserError(_offline(config, url, error, "")) from error


def _offline(config: NetworkConfig, url: str, error: Exception, place: str) -> str:
    reason = str(getattr(error, "reason", error)).splitlines() or [type(error).__name__]
    return (
        f"network {config.arch}: weights '{config.weights}' can't be downloaded ({reason[0]}); "
        f"download {url} by hand and {place}give the file's path as `weights`"
    )


def _head_name(model: nn.Module, num_classes: int, arch: str) -> str:
    """Dotted name of the last layer that has `num_classes` outputs."""
    found = ""
    for name, module in model.named_modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)) and module.weight.shape[0] == num_classes:
            found = name
    if not found:
        raise UserError(f"network {arch}: has no layer with {num_classes} outputs at its end")
    return found


def _split(model: nn.Module, head: str, channels: int, norm: Norm, input_size: int | None) -> Classifier:
    """Cut a model before its last layer."""
    layer = model.get_submodule(head)
    mean, std = norm
    if isinstance(layer, nn.Conv2d):  # SqueezeNet: the last convolution comes before the mean over positions
        if not isinstance(getattr(model, "features", None), nn.Module):
            raise UserError(f"network {type(model).__name__}: its last layer is a convolution; not supported")
        tail = nn.Sequential(*model.classifier, nn.Flatten())  # type: ignore[misc]
        return Classifier(model.features, tail, layer.in_channels, channels, mean, std, input_size)  # type: ignore[arg-type]
    parent = model.get_submodule(head.rpartition(".")[0])
    setattr(parent, head.rpartition(".")[2], nn.Identity())
    return Classifier(model, layer, int(layer.in_features), channels, mean, std, input_size)  # type: ignore[arg-type]


class Pool(nn.Module):
    """Mean over positions, where there are any."""

    def forward(self, encoded: Tensor) -> Tensor:
        return Classifier.pool(encoded)


def _with_features(network: Classifier, num_classes: int, features: int) -> Classifier:
    """A layer of `features` ReLU units below a new head (MoDAD: pool, ReLU, linear, ReLU, linear)."""
    layer = nn.Linear(network.num_features, features)
    network.trunk = nn.Sequential(network.trunk, Pool(), nn.ReLU(), layer, nn.ReLU())
    network.head = nn.Linear(features, num_classes)
    network.num_features = features
    return network


def _freeze(network: Classifier, config: NetworkConfig) -> None:
    """Keep the weights of the trunk's parts before `config.trained_from`, in the order in which they were defined."""
    parameters = list(network.trunk.named_parameters())
    first = f"{config.trained_from}."
    starts = [place for place, (name, _) in enumerate(parameters) if f"{name}.".startswith(first)]
    if not starts and config.trained_from != "head":
        parts = {".".join(name.split(".")[:depth]) for name, _ in parameters for depth in (1, 2)}
        raise UnknownName(f"part of {config.arch}", str(config.trained_from), [*sorted(parts), "head"])
    for _, parameter in parameters[: min(starts, default=len(parameters))]:
        parameter.requires_grad_(False)
    network.fixed_statistics = True
    network.train(network.training)  # Lightning trains a network as it finds it
