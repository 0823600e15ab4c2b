"""Who describes images: each route on models with random weights, and what is said when something is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lab.data.base import Facts
from lab.errors import DataError, UserError
from lab.papers.samyna.captioners import Asked, build_captioner
from lab.papers.samyna.captions import CaptionCache
from lab.papers.samyna.clip import Clip
from lab.papers.samyna.config import CaptionerConfig
from lab.papers.samyna.words import DISTRACTORS, words_of
from tests.papers.samyna.conftest import TINY_CLIP, TINY_COCA


def asked(rows: int = 3, channels: int = 3) -> Asked:
    images = torch.rand(rows, channels, 16, 16, generator=torch.Generator().manual_seed(1))
    return Asked(images, [f"train/{row}" for row in range(rows)], [row % 2 for row in range(rows)], [0] * rows)


def test_drawn_captions_say_the_true_factors_and_are_the_same_each_time(facts: Facts) -> None:
    drawn = build_captioner(CaptionerConfig(kind="drawn"), facts)
    captions = drawn.caption(asked(8))
    assert captions == drawn.caption(asked(8))
    for row, caption in enumerate(captions):
        words = words_of(caption)
        assert {("disc", "square")[row % 2], "red"} < words
        assert ("square", "disc")[row % 2] not in words and "green" not in words
        assert len(words & set(DISTRACTORS)) == 2


def test_drawn_captions_need_the_true_factors(facts: Facts) -> None:
    drawn = build_captioner(CaptionerConfig(kind="drawn"), facts)
    with pytest.raises(UserError, match="'train/0' has none"):
        drawn.caption(asked(1)._replace(biases=[-1]))


def test_what_the_data_set_says_itself(facts: Facts) -> None:
    described = build_captioner(CaptionerConfig(kind="described"), facts)
    assert described.caption(asked(2)._replace(said=["ice climbing", ""])) == ["ice climbing", ""]
    with pytest.raises(UserError, match="data with texts of its own"):
        described.caption(asked(2))


def test_a_file_of_captions(facts: Facts, tmp_path: Path) -> None:
    file = tmp_path / "captions.csv"
    file.write_text('image,caption\ntrain/0,"a bird, on land"\nelsewhere/1,water\nb/2,sky\nc/2,sea\n')
    captioner = build_captioner(CaptionerConfig(kind="file", file=str(file)), facts)
    assert captioner.caption(asked(2)) == ["a bird, on land", "water"]
    with pytest.raises(DataError, match=r"no caption of train/2 \(1 such"):  # two images are called 2
        captioner.caption(asked(3))


def test_a_file_like_the_metadata_of_bar(facts: Facts, tmp_path: Path) -> None:
    file = tmp_path / "metadata.json"
    file.write_text('{"0": {"image_description": "rock climbing", "cls": "climbing"}, "train/1": "ice", "2": {}}')
    captioner = build_captioner(CaptionerConfig(kind="file", file=str(file)), facts)
    assert captioner.caption(asked(2)._replace(names=["train/0.jpg", "train/1"])) == ["rock climbing", "ice"]
    with pytest.raises(DataError, match=r"no caption of train/2"):
        captioner.caption(asked(3))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "image,text\na,b\n", "no column 'caption'"),
        ("a.csv", "image,caption\na,\n", "holds no captions"),
        ("a.csv", None, "can't be read"),
        ("a.json", "[1]", "can't be read"),
        ("a.json", "{", "can't be read"),
    ],
)
def test_a_file_that_holds_no_captions(facts: Facts, tmp_path: Path, name: str, content: str | None, said: str) -> None:
    file = tmp_path / name
    if content is not None:
        file.write_text(content)
    with pytest.raises(DataError, match=said):
        build_captioner(CaptionerConfig(kind="file", file=str(file)), facts)


def test_clip_words_are_the_nearest_of_the_list(
    facts: Facts, open_clip_weights: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "words.txt").write_text("beach\nforest\nroom\nroad\n")
    options = {
        "model": TINY_CLIP,
        "weights": open_clip_weights[TINY_CLIP],
        "words": str(tmp_path / "words.txt"),
        "top": 2,
    }
    captioner = build_captioner(CaptionerConfig(kind="clip_words", **options), facts)
    clip = Clip(TINY_CLIP, open_clip_weights[TINY_CLIP], "test")
    batch = asked(channels=1)
    similar = (
        clip.images(batch.images) @ clip.encode([f"a photo of {w}" for w in ("beach", "forest", "room", "road")]).T
    )
    for caption, row in zip(captioner.caption(batch), similar, strict=True):
        best, second = row.sort(descending=True).indices[:2].tolist()
        words = ("beach", "forest", "room", "road")
        assert caption == f"a photo of {words[best]}, {words[second]}"


def test_coca_writes_a_text_for_each_image(facts: Facts, open_clip_weights: dict[str, str]) -> None:
    options = {"model": TINY_COCA, "weights": open_clip_weights[TINY_COCA], "max_tokens": 12}
    coca = build_captioner(CaptionerConfig(kind="coca", **options), facts)
    captions = coca.caption(asked())
    assert all(captions) and len(captions) == 3
    assert captions == [coca.caption(Asked(image[None], ["x"], [0], [0]))[0] for image in asked().images]


def test_coca_needs_a_model_that_writes(facts: Facts, open_clip_weights: dict[str, str]) -> None:
    options = {"model": TINY_CLIP, "weights": open_clip_weights[TINY_CLIP]}
    with pytest.raises(UserError, match="writes no captions"):
        build_captioner(CaptionerConfig(kind="coca", **options), facts)


def test_a_vision_language_model_from_a_folder(facts: Facts, blip: Path) -> None:
    captioner = build_captioner(CaptionerConfig(kind="vision_language", model=str(blip), max_tokens=5), facts)
    captions = captioner.caption(asked(channels=1))
    assert len(captions) == 3
    assert captions == captioner.caption(asked(channels=1))
    assert set(" ".join(captions).split()) <= {"a", "disc", "red", "square", "green", "[UNK]"}


def test_a_vision_language_model_that_is_not_there(facts: Facts, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="bring captions in a file") as error:
        build_captioner(CaptionerConfig(kind="vision_language", model=str(tmp_path / "none")), facts)
    assert "\n" not in str(error.value)


def test_clip_weights_that_are_not_there(open_clip_weights: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no architecture 'ViT-B-33'; did you mean"):
        Clip("ViT-B-33", "x.pt", "here")
    with pytest.raises(UserError, match=r"here: no file .*none\.pt"):
        Clip(TINY_CLIP, str(tmp_path / "none.pt"), "here")
    with pytest.raises(UserError, match="can't be had"):  # another architecture's
        Clip(TINY_CLIP, open_clip_weights[TINY_COCA], "here")


def test_captions_are_kept_by_image_and_captioner(tmp_path: Path) -> None:
    config = CaptionerConfig(kind="vision_language", model="x")
    cache = CaptionCache(tmp_path, config)
    assert cache.get("a1") is None
    cache.put("a1", "ein Gärtner, über\nzwei Zeilen")
    assert CaptionCache(tmp_path, config).get("a1") == "ein Gärtner, über\nzwei Zeilen"
    assert CaptionCache(tmp_path, CaptionerConfig(kind="vision_language", model="y")).get("a1") is None
    assert not list(cache.folder.glob(".*"))


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({}, "model"),
        ({"kind": "file"}, "file"),
        ({"kind": "coca", "model": "x"}, "weights"),
        ({"kind": "drawn", "top": 0}, "top"),
    ],
)
def test_options_that_can_not_be(options: dict[str, object], key: str) -> None:
    assert [found for found, _ in CaptionerConfig(**options).check()] == [key]  # type: ignore[arg-type]
