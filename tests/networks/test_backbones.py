"""Networks by name: one face for all, weights, and errors that name the way out."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch

from lab.errors import UserError
from lab.networks import backbones
from lab.networks.backbones import build_classifier, resolve
from lab.networks.config import NetworkConfig

PHOTOS = {"bird.bmp": 19, "parrot.jpg": 88, "hot_dog.jpg": 934, "sunflower.bmp": 985, "dragonfly.bmp": 319}
"""ImageNet indices: chickadee, macaw, hotdog, daisy, dragonfly."""


@pytest.mark.parametrize(
    ("arch", "features"),
    [("cnn", 128), ("resnet18", 512), ("squeezenet1_1", 512), ("mobilenet_v3_small", 1024), ("timm/test_resnet", 0)],
)
def test_every_network_has_the_same_face(arch: str, features: int) -> None:
    network = build_classifier(NetworkConfig(arch=arch, input_size=64), num_classes=7, in_channels=1).eval()
    images = torch.rand(2, 1, 40, 40)
    with torch.no_grad():
        assert network(images).shape == (2, 7)
        assert network.features(images).shape == (2, network.num_features)
        encoded = network.encode(images)
        assert torch.equal(network.head(encoded), network(images))
    assert features in (0, network.num_features)
    assert all(p.requires_grad for p in network.parameters())


@pytest.mark.parametrize("arch", ["cnn", "resnet18", "squeezenet1_1"])
def test_a_layer_of_features_of_its_own(arch: str) -> None:
    network = build_classifier(NetworkConfig(arch=arch, feature_dim=9), num_classes=7).eval()
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        features = network.features(images)
        assert features.shape == (2, network.num_features) == (2, 9)
        assert (features >= 0).all() and (features > 0).any()
        assert torch.equal(network.head(features), network(images))
    assert [field for field, _ in NetworkConfig(feature_dim=0).check()] == ["feature_dim"]


def test_the_forward_pass_is_the_librarys_own() -> None:
    from torchvision import models

    reference = models.squeezenet1_1(num_classes=5).eval()
    config = NetworkConfig(arch="squeezenet1_1", mean=[0.0], std=[1.0])
    network = build_classifier(config, 5).eval()
    network.load_state_dict(
        {k.replace("features", "trunk").replace("classifier", "head"): v for k, v in reference.state_dict().items()}
    )
    images = torch.rand(2, 3, 64, 64)
    assert torch.allclose(network(images), reference(images), atol=1e-6)


def test_images_are_normalised_and_resized_inside() -> None:
    config = NetworkConfig(arch="cnn", input_size=16, mean=[0.2, 0.4, 0.6], std=[0.5])
    network = build_classifier(config, 2)
    prepared = network.prepare(torch.full((1, 3, 8, 8), 0.6))
    assert prepared.shape == (1, 3, 16, 16)
    assert torch.allclose(prepared[0, :, 0, 0], torch.tensor([0.8, 0.4, 0.0]), atol=1e-6)
    grey = build_classifier(NetworkConfig(arch="resnet18"), 2, in_channels=1)
    assert grey.prepare(torch.rand(1, 1, 8, 8)).shape == (1, 3, 8, 8)


def test_the_small_network_has_no_batch_statistics() -> None:
    network = build_classifier(NetworkConfig(arch="cnn", arch_options={"width": 8}), 2).train()
    images = torch.rand(6, 3, 16, 16)
    assert torch.allclose(network(images), torch.cat([network(images[:2]), network(images[2:])]), atol=1e-6)
    assert network.num_features == 32


def test_bare_names_are_looked_for_in_order() -> None:
    assert resolve("cnn") == ("own", "cnn")
    assert resolve("densenet121") == ("torchvision", "densenet121")
    assert resolve("timm/resnet50") == ("timm", "resnet50")
    assert resolve("mobilenetv2_100") == ("timm", "mobilenetv2_100")
    assert resolve("inception_v3") == ("timm", "inception_v3")  # torchvision's has two outputs


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (NetworkConfig(arch="resnet51"), "did you mean .*'resnet50'"),
        (NetworkConfig(arch="timm/mobilnetv2_100"), "did you mean 'timm/mobilenetv2_100'"),
        (NetworkConfig(arch="other/resnet18"), "known: cnn, open_clip/…, timm/…, torchvision/…"),
        (NetworkConfig(arch="cnn", arch_options={"depth": 3}), "can't be built with {'depth': 3}"),
        (NetworkConfig(arch="resnet18", arch_options={"depth": 3}), "can't be built with {'depth': 3}"),
        (NetworkConfig(arch="cnn", weights="imagenet"), "no pretrained weights"),
        (NetworkConfig(arch="resnet18", weights="IMAGENET1K_V3"), "did you mean .*'IMAGENET1K_V1'"),
        (NetworkConfig(arch="timm/resnet18", weights="a4_in1k"), "did you mean .*'a1_in1k'"),
        (NetworkConfig(arch="resnet18", weights="nowhere/w.pth"), "no file nowhere/w.pth"),
    ],
)
def test_errors_name_the_way_out(config: NetworkConfig, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        build_classifier(config, 3)
    assert "\n" not in str(caught.value)


def test_offline_says_what_to_download_and_where_to_put_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr("torch.hub.download_url_to_file", refuse)
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(backbones, "urlopen", refuse)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    with pytest.raises(UserError, match=r"resnet18-\w+\.pth by hand and put it into .*checkpoints") as caught:
        build_classifier(NetworkConfig(arch="resnet18", weights="imagenet"), 3)
    assert "no route to host" in str(caught.value)
    with pytest.raises(UserError, match=r"timm/resnet18\S+/model\.safetensors by hand and give the file's path"):
        build_classifier(NetworkConfig(arch="timm/resnet18", weights="imagenet"), 3)


def test_named_weights_are_not_asked_for_when_others_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backbones, "read_state", lambda path: pytest.fail("read"))
    for arch, weights in (("resnet18", "imagenet"), ("timm/resnet18", "imagenet"), ("resnet18", "gone.pth")):
        build_classifier(NetworkConfig(arch=arch, weights=weights), 3, pretrained=False)


def test_timms_cached_weights_are_taken_without_a_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import timm
    from safetensors.torch import save_file

    source = timm.create_model("test_resnet", num_classes=1000)
    save_file(source.state_dict(), tmp_path / "model.safetensors")
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: str(tmp_path / "model.safetensors"))
    network = build_classifier(NetworkConfig(arch="timm/test_resnet", weights="imagenet"), 3)
    own = network.trunk.state_dict()
    assert all(torch.equal(own[k], v) for k, v in source.state_dict().items() if k in own)
    assert network.head.out_features == 3


@pytest.mark.parametrize(
    ("config", "file"),
    [
        (
            NetworkConfig(
                arch="timm/mobilenetv2_100", arch_options={"pad_type": "same"}, input_size=224, mean=[0.5], std=[0.5]
            ),
            "timm_mobilenetv2_100_same_tf2ptq_fp16.pth",
        ),
        (
            NetworkConfig(arch="squeezenet1_0", input_size=227, mean=[123 / 255, 117 / 255, 104 / 255], std=[1 / 255]),
            "squeezenet1_0_deepcompression_fp16.pth",
        ),
    ],
)
def test_real_weights_know_real_photographs(config: NetworkConfig, file: str) -> None:
    root = Path(os.environ.get("LAB_DATA", ""))
    if not (root / "weights" / file).is_file() or not (root / "photos").is_dir():
        pytest.skip(f"needs LAB_DATA with weights/{file} and photos/")
    from PIL import Image

    config.weights = str(root / "weights" / file)
    network = build_classifier(config, 1000).eval()
    for name, index in PHOTOS.items():
        photo = Image.open(root / "photos" / name).convert("RGB")
        side = min(photo.size)
        left, top = (photo.width - side) // 2, (photo.height - side) // 2
        pixels = np.array(photo.crop((left, top, left + side, top + side)))
        with torch.no_grad():
            found = network(torch.tensor(pixels).movedim(2, 0)[None] / 255).argmax(1)
        assert int(found) == index, name


def test_rules_between_options() -> None:
    broken = NetworkConfig(input_size=2, mean=[0.1, 0.2], std=None)
    assert [name for name, _ in broken.check()] == ["input_size", "std", "mean"]
    assert [name for name, _ in NetworkConfig(mean=[0.5], std=[0.0]).check()] == ["std"]
    assert not list(NetworkConfig().check())


def test_parts_before_the_one_named_keep_weights_and_statistics() -> None:
    config = NetworkConfig(arch="resnet18", trained_from="layer4.1", feature_dim=9)
    network = build_classifier(config, num_classes=3)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    trained = [name for name, p in network.named_parameters() if p.requires_grad]
    assert {name.rpartition(".layer4.1.")[1] or name.partition(".")[0] for name in trained} == {
        *(".layer4.1.", "trunk", "head")
    }
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], 0.1)
    network(torch.rand(4, 3, 32, 32)).square().sum().backward()
    optimizer.step()
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == set(trained)  # and so no running mean or variance
    assert not network.eval().train().get_submodule("trunk.0.bn1").training
    head = build_classifier(NetworkConfig(arch="resnet18", trained_from="head"), num_classes=3)
    assert [name for name, p in head.named_parameters() if p.requires_grad] == ["head.weight", "head.bias"]


def test_a_part_that_is_not_there() -> None:
    with pytest.raises(UserError, match="unknown part of resnet18 'layer5'; did you mean 'layer4'"):
        build_classifier(NetworkConfig(arch="resnet18", trained_from="layer5"), num_classes=3)


@pytest.fixture
def tiny_clip(tmp_path: Path) -> tuple[str, Path, Any]:
    """Name of a small CLIP that open_clip knows, a file of its weights, and the model."""
    open_clip = pytest.importorskip("open_clip")
    name = "lab-tiny-tower"
    towers = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
        "text_cfg": {"context_length": 8, "vocab_size": 32, "width": 16, "heads": 2, "layers": 1},
    }
    (tmp_path / f"{name}.json").write_text(json.dumps(towers))
    open_clip.add_model_config(tmp_path / f"{name}.json")
    model = open_clip.create_model(name).eval()
    torch.save(model.state_dict(), tmp_path / "tiny.pt")
    return name, tmp_path / "tiny.pt", model


def test_the_image_tower_of_a_clip(tiny_clip: tuple[str, Path, Any]) -> None:
    name, file, model = tiny_clip
    config = NetworkConfig(arch=f"open_clip/{name}", weights=str(file))
    network = build_classifier(config, num_classes=7, in_channels=1).eval()
    images = torch.rand(2, 1, 40, 40)
    with torch.no_grad():
        prepared = network.prepare(images)
        assert prepared.shape == (2, 3, 32, 32)
        assert torch.allclose(network.features(images), model.encode_image(prepared), atol=1e-6)
        assert network(images).shape == (2, 7)
    larger = build_classifier(NetworkConfig(arch=f"open_clip/{name}", input_size=64), num_classes=7)
    assert larger.prepare(images).shape[-1] == 64


def test_an_open_clip_tower_that_is_not_there(tiny_clip: tuple[str, Path, Any], tmp_path: Path) -> None:
    name, _, _ = tiny_clip
    for config, message in (
        (NetworkConfig(arch="open_clip/lab-tiny-towr"), "unknown network .* did you mean 'open_clip/lab-tiny-tower'"),
        (NetworkConfig(arch=f"open_clip/{name}", weights=str(tmp_path / "no.pt")), "no file"),
        (NetworkConfig(arch=f"open_clip/{name}", weights="openia"), "unknown weights of open_clip/lab-tiny-tower"),
        (NetworkConfig(arch=f"open_clip/{name}", weights=str(tmp_path / f"{name}.json")), "can't be had"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            build_classifier(config, 7)
        assert len(str(caught.value).splitlines()) == 1
