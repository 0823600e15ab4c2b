"""Networks from an image to a map for each landmark: U-Net and U-Net++ of segmentation_models_pytorch."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lab.errors import UnknownName, UserError
from lab.networks.backbones import build_classifier
from lab.networks.config import HeatmapNetworkConfig, NetworkConfig
from lab.networks.weights import is_file_name, load_body, read_state

log = logging.getLogger(__name__)

ARCHITECTURES = {"unet": "Unet", "unet++": "UnetPlusPlus"}
HEAD = "model.segmentation_head"
"""Of a `HeatmapNetwork`: what another set of landmarks needs anew."""
ENCODER = "model.encoder."


class HeatmapNetwork(nn.Module):
    """Maps (B, L, H, W) of logits of grey images (B, 1, H, W) in [0, 1]; their normalisation is inside.

    Args:
        model: of segmentation_models_pytorch; has `encoder`, `decoder` and `segmentation_head`.
        mean, std: of grey levels.
        fixed_encoder: the encoder's weights stay as they are, and its batch statistics with them.
    """

    def __init__(self, model: nn.Module, mean: float, std: float, fixed_encoder: bool = False):
        super().__init__()
        self.model, self.mean, self.std = model, mean, std
        self.fixed_encoder = fixed_encoder
        if fixed_encoder:
            self.encoder.requires_grad_(False)

    @property
    def encoder(self) -> nn.Module:
        return self.model.get_submodule("encoder")

    def train(self, mode: bool = True) -> HeatmapNetwork:
        super().train(mode)
        if self.fixed_encoder:
            for module in self.encoder.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        maps: Tensor = self.model((images - self.mean) / self.std)
        return maps


def build_heatmap_network(
    config: HeatmapNetworkConfig, landmarks: int, side: int, *, pretrained: bool = True
) -> HeatmapNetwork:
    """The network of that configuration for images of `side` x `side` pixels.

    Args:
        pretrained: False leaves the encoder's weights unread, for a network that is about to be given others.

    Raises:
        UserError: the package is absent, an unknown architecture or encoder, a side that the network can't halve often
            enough, or weights that are absent, damaged or don't fit.
    """
    if find_spec("segmentation_models_pytorch") is None:
        raise UserError(
            "U-Nets with pretrained encoders need the package segmentation_models_pytorch; install lab[landmarks]"
        )
    import segmentation_models_pytorch as smp

    depth = len(config.decoder_channels)
    if side % 2**depth:
        raise UserError(
            f"network {config.arch}: images of {side} x {side} pixels can't be halved {depth} times (one for each of "
            f"decoder_channels); take a data.image_size that is a multiple of {2**depth}"
        )
    encoder = _encoder_name(config.encoder)
    try:
        model = getattr(smp, ARCHITECTURES[config.arch])(
            encoder_name=encoder,
            encoder_depth=depth,
            encoder_weights=None,
            decoder_channels=tuple(config.decoder_channels),
            in_channels=1,
            classes=landmarks,
            **config.encoder_options,
        )
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(
            f"network {config.arch}: {config.encoder} can't be built with {dict(config.encoder_options)}: {error}"
        ) from error
    network = HeatmapNetwork(model, config.mean, config.std, config.trained == "decoder")
    if pretrained and config.encoder_weights != "none":
        _load_encoder(model.encoder, config)
    return network


def _encoder_name(name: str) -> str:
    """The library's name of an encoder; those of timm have the prefix `timm/` here."""
    import timm
    from segmentation_models_pytorch.encoders import get_encoder_names

    library, _, bare = name.rpartition("/")
    if library == "timm" and timm.is_model(bare):
        return f"tu-{bare}"
    known = get_encoder_names()
    if not library and name in known:
        return name
    raise UnknownName("encoder", name, [*known, *(f"timm/{n}" for n in timm.list_models())])


def _load_encoder(encoder: nn.Module, config: HeatmapNetworkConfig) -> None:
    """Weights of a classifier of the same architecture, its first convolution summed over red, green and blue."""
    source = config.encoder_weights
    if is_file_name(source):
        state: Mapping[str, Tensor] = read_state(Path(source).expanduser())
    else:
        options = NetworkConfig(arch=config.encoder, arch_options=dict(config.encoder_options), weights=source)
        state = build_classifier(options, 1000).trunk.state_dict()
    target = getattr(encoder, "model", encoder) if config.encoder.startswith("timm/") else encoder
    own = target.state_dict()
    taken = {name: _grey(state[name], value) if name in state else None for name, value in own.items()}
    wrong = [name for name, value in taken.items() if value is None or value.shape != own[name].shape]
    if wrong:
        raise UserError(
            f"weights: {source} doesn't fit the encoder {config.encoder}: {len(wrong)} of {len(own)} entries are "
            f"missing or of another shape ({', '.join(wrong[:3])}{', …' if len(wrong) > 3 else ''})"
        )
    target.load_state_dict(taken)


def _grey(given: Tensor, own: Tensor) -> Tensor:
    """A first convolution for grey images: what the one for RGB makes of three equal channels."""
    first = given.ndim == 4 and own.ndim == 4 and given.shape[1] == 3 and own.shape[1] == 1
    return given.sum(1, keepdim=True) if first else given


def start_from(
    network: HeatmapNetwork, state: Mapping[str, Tensor], source: str, *, encoder_only: bool = False
) -> None:
    """Begin with the weights of a network that was fitted to other landmarks; the head stays new.

    Args:
        state: of another `HeatmapNetwork`.
        source: what a message says the weights come from.
        encoder_only: the decoder stays new as well.

    Raises:
        UserError: fewer than 95 % of the entries fit.
    """
    if encoder_only:
        # The module is its own prefix of names, so that head and decoder are no part of what has to fit.
        inner = {name.removeprefix(ENCODER): value for name, value in state.items() if name.startswith(ENCODER)}
        line = load_body(network.encoder, inner, head=None, source=source)
    else:
        line = load_body(network, state, head=HEAD, source=source)
    log.info(line)
