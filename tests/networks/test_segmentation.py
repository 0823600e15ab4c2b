"""U-Nets for heatmaps: encoders' weights from files, starting from other landmarks, and one line for what is wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from lab.errors import UserError
from lab.networks.config import HeatmapNetworkConfig
from lab.networks.segmentation import HeatmapNetwork, build_heatmap_network, start_from

SMALL = {"encoder": "timm/test_resnet", "decoder_channels": (8, 8, 8)}


def built(landmarks: int = 3, side: int = 32, seed: int = 0, **options) -> HeatmapNetwork:
    torch.manual_seed(seed)
    return build_heatmap_network(HeatmapNetworkConfig(**{**SMALL, **options}), landmarks, side)


@pytest.mark.parametrize(("arch", "encoder"), [("unet", "resnet18"), ("unet++", "timm/test_resnet")])
def test_a_map_for_each_landmark(arch, encoder):
    network = built(5, arch=arch, encoder=encoder).eval()
    images = torch.rand(2, 1, 32, 32)
    maps = network(images)
    assert maps.shape == (2, 5, 32, 32)
    shifted = built(5, arch=arch, encoder=encoder, mean=0.0, std=1.0).eval()
    shifted.load_state_dict(network.state_dict())
    assert torch.allclose(shifted((images - 0.5) / 0.5), maps, atol=1e-4)


def test_an_encoder_from_a_file_of_rgb_weights(tmp_path):
    import timm

    source = timm.create_model("test_efficientnet", num_classes=10, pad_type="same").eval()
    torch.save({"state_dict": source.half().state_dict()}, tmp_path / "weights.pth")
    options = {"encoder": "timm/test_efficientnet", "encoder_options": {"pad_type": "same"}}
    network = built(encoder_weights=str(tmp_path / "weights.pth"), **options).eval()
    grey = torch.rand(2, 1, 32, 32)
    rgb = source.float().forward_intermediates(grey.expand(-1, 3, -1, -1), intermediates_only=True)
    own = network.model.encoder(grey)
    deepest = {tuple(maps.shape): maps for maps in own}
    compared = [maps for maps in rgb if tuple(maps.shape) in deepest]
    assert len(compared) >= 2
    for maps in compared:
        assert torch.allclose(deepest[tuple(maps.shape)], maps, atol=1e-3)


def test_an_encoder_by_the_name_of_a_set(tmp_path, monkeypatch):
    import timm
    from safetensors.torch import save_file

    source = timm.create_model("test_resnet", num_classes=1000)
    save_file(source.state_dict(), tmp_path / "model.safetensors")
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: str(tmp_path / "model.safetensors"))
    own = built(encoder_weights="imagenet").encoder.model.state_dict()
    given = source.state_dict()
    first = next(name for name, value in given.items() if value.ndim == 4)
    assert torch.allclose(own[first], given[first].sum(1, keepdim=True))
    assert all(torch.equal(own[name], given[name]) for name in own if name != first)


def test_the_real_imagenet_encoder_fits():
    path = Path(os.environ.get("LAB_DATA", "")) / "weights" / "timm_mobilenetv2_100_same_tf2ptq_fp16.pth"
    if not path.is_file():
        pytest.skip("needs LAB_DATA with weights/timm_mobilenetv2_100_same_tf2ptq_fp16.pth")
    import timm

    options = {"encoder": "timm/mobilenetv2_100", "encoder_options": {"pad_type": "same"}}
    network = built(side=64, decoder_channels=(8,) * 5, encoder_weights=str(path), **options).eval()
    source = timm.create_model("mobilenetv2_100", pad_type="same").eval()
    source.load_state_dict({k: v.float() for k, v in torch.load(path, weights_only=True).items()})
    grey = 2 * torch.rand(1, 1, 64, 64) - 1
    expected = source.forward_intermediates(grey.expand(-1, 3, -1, -1), indices=[-1], intermediates_only=True)[0]
    found = network.encoder(grey)[-1]
    assert found.shape == expected.shape and torch.allclose(found, expected, atol=1e-3)


def test_starting_from_other_landmarks_leaves_the_head_new():
    source, network, untouched = built(7, seed=1), built(3, seed=2), built(3, seed=2)
    start_from(network, source.state_dict(), "x")
    for name, value in network.state_dict().items():
        head = "segmentation_head" in name
        assert torch.equal(value, untouched.state_dict()[name] if head else source.state_dict()[name]), name


def test_starting_from_an_encoder_leaves_the_decoder_new():
    source, network, untouched = built(3, seed=1), built(3, seed=2), built(3, seed=2)
    start_from(network, source.state_dict(), "x", encoder_only=True)
    for name, value in network.state_dict().items():
        expected = source if "encoder" in name else untouched
        assert torch.equal(value, expected.state_dict()[name]), name


def test_starting_from_another_network_is_refused():
    network = built()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(UserError, match=r"entries of stage x fit HeatmapNetwork; not: .*; at least 95 % have to"):
        start_from(network, built(decoder_channels=(4, 4, 4)).state_dict(), "stage x")
    with pytest.raises(UserError, match=r"0 of \d+ entries of nothing"):
        start_from(network, {}, "nothing", encoder_only=True)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_fixed_encoder_keeps_weights_and_statistics():
    network = built(trained="decoder").train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    trained = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, 0.1)
    network(torch.rand(4, 1, 32, 32)).square().mean().backward()
    optimizer.step()
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed and not any("encoder" in name for name in changed)


@pytest.mark.parametrize(
    ("options", "side", "said"),
    [
        ({"encoder": "vgg91"}, 32, "unknown encoder 'vgg91'; did you mean 'vgg19'"),
        ({"encoder": "timm/mobilnetv2_100"}, 32, "did you mean 'timm/mobilenetv2_100'"),
        ({}, 36, "images of 36 x 36 pixels can't be halved 3 times"),
        ({"encoder_options": {"colour": 3}}, 32, "timm/test_resnet can't be built with {'colour': 3}"),
        ({"encoder_weights": "/nowhere/x.pth"}, 32, "weights: no file /nowhere/x.pth"),
    ],
)
def test_what_cant_be_built_is_one_line(options, side, said):
    with pytest.raises(UserError, match=said) as error:
        built(side=side, **options)
    assert "\n" not in str(error.value)


def test_weights_of_another_encoder(tmp_path):
    import timm

    torch.save(timm.create_model("test_vit").state_dict(), tmp_path / "x.pth")
    with pytest.raises(
        UserError, match=r"x.pth doesn't fit the encoder timm/test_resnet: \d+ of \d+ entries are missing"
    ):
        built(encoder_weights=str(tmp_path / "x.pth"))


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"decoder_channels": ()}, "decoder_channels"),
        ({"decoder_channels": (8,) * 6}, "decoder_channels"),
        ({"encoder": "vgg19", "encoder_options": {"a": 1}}, "encoder_options"),
        ({"std": 0.0}, "std"),
    ],
)
def test_options_are_checked(options, key):
    assert [field for field, _ in HeatmapNetworkConfig(**options).check()] == [key]
