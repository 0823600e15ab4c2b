"""Weights from files: what is read, what is left out, and the errors."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from lab.errors import UserError
from lab.networks.weights import is_file_name, load_state, read_state


def network(classes: int = 3, width: int = 4) -> nn.Sequential:
    return nn.Sequential(nn.Linear(5, width), nn.BatchNorm1d(width), nn.Linear(width, classes))


def test_half_precision_wrappers_and_prefixes_are_undone(tmp_path: Path) -> None:
    state = network().state_dict()
    halved = {f"module.{k}": v.half() if v.is_floating_point() else v for k, v in state.items()}
    torch.save({"epoch": 3, "state_dict": halved}, tmp_path / "a.pth")
    save_file(state, tmp_path / "a.safetensors")
    for name in ("a.pth", "a.safetensors"):
        found = read_state(tmp_path / name)
        assert found.keys() == state.keys()
        assert found["0.weight"].dtype == torch.float32
        assert torch.allclose(found["0.weight"], state["0.weight"], atol=1e-3)


def test_a_head_of_other_classes_is_left_out_whole() -> None:
    target, source = network(classes=3), network(classes=7)
    before = target[2].weight.clone()
    assert load_state(target, source.state_dict(), head="2", source="x") == ["2.bias", "2.weight"]
    assert torch.equal(target[0].weight, source[0].weight)
    assert torch.equal(target[2].weight, before)
    without = {k: v for k, v in source.state_dict().items() if not k.startswith("2.")}
    assert load_state(network(), without, head="2", source="x") == ["2.bias", "2.weight"]
    assert load_state(network(7), source.state_dict(), head="2", source="x") == []


def test_what_does_not_fit_is_one_line_with_counts_and_names() -> None:
    state = network(width=6).state_dict() | {"extra.weight": torch.zeros(1)}
    del state["1.bias"]
    with pytest.raises(UserError) as caught:
        load_state(network(), state, head="2", source="file.pth")
    message = str(caught.value)
    assert message.startswith("weights: file.pth doesn't fit Sequential: 1 missing (1.bias); 1 unknown (extra.weight)")
    assert "5 of another shape (0.weight, 0.bias, 1.weight, …)" in message
    assert "\n" not in message


def test_bad_files_are_one_clear_line_each(tmp_path: Path) -> None:
    torch.save(network().state_dict(), tmp_path / "cut.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "cut.pth").read_bytes()[:-200])
    save_file(network().state_dict(), tmp_path / "cut.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "cut.safetensors").read_bytes()[:-20])
    (tmp_path / "code.pth").write_bytes(pickle.dumps(print))
    torch.save([1, 2], tmp_path / "list.pth")
    expected = {
        "none.pth": "no file",
        "cut.pth": "damaged, cut off or unsafe",
        "cut.safetensors": "damaged, cut off or unsafe",
        "code.pth": "damaged, cut off or unsafe",
        "list.pth": "doesn't hold a state dict",
    }
    for name, message in expected.items():
        with pytest.raises(UserError, match=message) as caught:
            read_state(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_files_and_named_sets_are_told_apart() -> None:
    assert all(map(is_file_name, ("a.pth", "weights/a", "a.safetensors")))
    assert not any(map(is_file_name, ("none", "imagenet", "IMAGENET1K_V2", "ra_in1k")))
