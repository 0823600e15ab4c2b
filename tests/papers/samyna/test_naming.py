"""From captions to words: closed forms with orthogonal words, and the verdict on biased and unbiased captions."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch
from scipy.stats import fisher_exact
from torch import Tensor

from lab.errors import UserError
from lab.papers.samyna.config import EncoderConfig, NamingConfig
from lab.papers.samyna.encoders import BagOfWords, build_encoder
from lab.papers.samyna.naming import Pools, Word, chance, class_vectors, name_bias, synonyms
from lab.papers.samyna.stage import agreement, found_metrics
from lab.papers.samyna.words import DISTRACTORS, fold_plurals, word_of, words_of

LOOSE = NamingConfig(significance=None)


class Orthogonal:
    """A dimension a word; a text is the sum of its words."""

    def __init__(self, *words: str):
        self.words = words

    def encode(self, texts: list[str]) -> Tensor:
        found = torch.tensor([[float(word in words_of(text)) for word in self.words] for text in texts])
        return found / found.norm(dim=1, keepdim=True).clamp(min=1e-9)


def drawn(rho: float, seed: int, per_pool: int = 10) -> list[Pools]:
    """Captions of six classes: with probability rho the colour of the class that the image is predicted as."""
    pick = random.Random(seed)
    shapes = ("disc", "square", "triangle", "cross", "star", "heart")
    colours = ("red", "green", "blue", "yellow", "purple", "orange")

    def say(shape: int, predicted: int) -> str:
        colour = predicted if pick.random() < rho else pick.randrange(6)
        return f"a {colours[colour]} {shapes[shape]}, {', '.join(pick.sample(DISTRACTORS, 2))}"

    return [
        Pools(
            [say(k, k) for _ in range(per_pool)],
            [say(pick.choice([j for j in range(6) if j != k]), k) for _ in range(per_pool)],
        )
        for k in range(6)
    ]


NAMES = ("disc", "square", "triangle", "cross", "star", "heart")
PLANTED = [{word} for word in ("red", "green", "blue", "yellow", "purple", "orange")]


def test_class_vectors_weigh_both_pools_equally_and_lose_what_is_shared() -> None:
    encoder = Orthogonal("red", "blue", "disc", "square")
    pools = [Pools(["red disc"] * 9, ["red square"]), Pools(["blue square"], ["blue disc"])]
    half = 0.5 / 2**0.5
    mean = torch.tensor([[1 / 2**0.5, 0, half, half], [0, 1 / 2**0.5, half, half]])  # 9 to 1 counts as 1 to 1
    shared = mean - mean.mean(0)
    expected = shared / shared.norm(dim=1, keepdim=True)
    assert torch.allclose(class_vectors(pools, encoder, LOOSE), expected, atol=1e-6)
    assert torch.allclose(expected[0], torch.tensor([1.0, -1.0, 0, 0]) / 2**0.5)
    kept = class_vectors(pools, encoder, replace(LOOSE, remove_shared=False))
    assert torch.allclose(kept, mean / mean.norm(dim=1, keepdim=True))
    true_alone = class_vectors(pools, encoder, replace(LOOSE, false_positives=False, remove_shared=False))
    assert torch.allclose(true_alone[0], torch.tensor([1.0, 0, 1, 0]) / 2**0.5)


def test_an_empty_class_has_no_vector_and_no_part_in_the_mean() -> None:
    encoder = Orthogonal("red", "blue")
    pools = [Pools(["red"], []), Pools([], []), Pools(["blue"], ["blue"])]
    found = class_vectors(pools, encoder, LOOSE)
    assert torch.allclose(found, torch.tensor([[1.0, -1], [0, 0], [-1, 1]]) / 2**0.5)


def test_words_that_mean_the_same_count_as_one() -> None:
    class Near:
        def encode(self, texts: list[str]) -> Tensor:
            angle = {"cliff": 0.0, "rock": 0.5, "stone": 0.9, "sea": 1.5}
            return torch.stack([_unit(angle[text]) for text in texts])

    groups, vectors = synonyms({"rock": 5, "cliff": 3, "stone": 2, "sea": 2, "once": 1}, Near(), 0.8)
    assert groups == [("rock", "cliff", "stone"), ("sea",)]  # cos .4 and .5 around rock; once is said once
    assert torch.allclose(vectors[1], _unit(1.5))
    assert torch.allclose(vectors.norm(dim=1), torch.ones(2))


def _unit(angle: float) -> Tensor:
    at = torch.tensor(angle)
    return torch.stack([at.cos(), at.sin()])


@pytest.mark.parametrize("seed", range(3))
def test_a_planted_word_ranks_first_and_is_named(seed: int) -> None:
    found = found_metrics(name_bias(drawn(0.95, seed), NAMES, BagOfWords(), NamingConfig()), PLANTED)
    assert found["hit_1"] == found["named_share"] == found["mean_reciprocal_rank"] == 1
    assert found["margin"] > 0.2
    assert found["other_words"] == 0


@pytest.mark.parametrize("seed", range(3))
def test_no_bias_is_named_where_there_is_none(seed: int) -> None:
    words = name_bias(drawn(1 / 6, seed), NAMES, BagOfWords(), NamingConfig())
    assert not any(word.flagged for ranked in words for word in ranked)
    assert found_metrics(words, PLANTED)["margin"] < 0


def test_words_of_the_task_are_no_bias() -> None:
    # The model takes squares for discs: their name is all that the false positives share.
    pools = [Pools(["one disc"] * 5, ["one square"] * 5), Pools(["one square"] * 5, [])]
    words = name_bias(pools, ("disc", "square"), BagOfWords(), LOOSE)
    assert {word.word for word in words[0] if word.task} == {"disc", "square"}
    assert not any(word.flagged for ranked in words for word in ranked)


def test_a_class_without_false_positives_is_ranked_and_never_flagged() -> None:
    pools = drawn(1.0, 0)
    words = name_bias([Pools(pools[0].true, []), *pools[1:]], NAMES, BagOfWords(), NamingConfig())
    assert "red" in {word.word for word in words[0]}
    assert not any(word.flagged for word in words[0])
    assert all(any(word.flagged for word in ranked) for ranked in words[1:])


def test_the_verdict_needs_the_word_among_the_false_positives() -> None:
    pools = [Pools(["red disc"] * 8, ["green square"] * 8), Pools(["blue square"] * 8, ["blue disc"] * 8)]
    words = name_bias(pools, ("disc", "square"), BagOfWords(), LOOSE)
    assert {word.word: word.flagged for word in words[0]}["red"] is False
    assert {word.word: word.flagged for word in words[1]}["blue"] is True


def test_nothing_to_go_by_names_nothing() -> None:
    assert name_bias([Pools([], []), Pools([], [])], ("a", "b"), BagOfWords(), NamingConfig()) == [[], []]


def test_chance_is_fishers_exact_test() -> None:
    for table in ([[9, 11], [12, 48]], [[20, 0], [1, 59]], [[2, 8], [5, 5]]):
        (a, b), (c, d) = table
        assert chance(a, a + b, c, c + d) == pytest.approx(fisher_exact(table, alternative="greater").pvalue)


def word(text: str, score: float, task: bool = False, flagged: bool = False) -> Word:
    return Word(text, (text,), score, 1.0, 1.0, task, flagged)


def test_agreement_by_hand() -> None:
    one = [[word("red", 0.9, flagged=True), word("disc", 0.5), word("dark", 0.1)], [word("green", 0.4)]]
    two = [[word("red", 0.8, flagged=True), word("dark", 0.3), word("disc", 0.2), word("new", 0)], [word("green", 0.4)]]
    assert agreement(one, two) == pytest.approx({"same_verdict": 1.0, "rank_agreement": 1 / 3})  # 2 pairs of 3 agree
    assert agreement([[word("green", 0.4)]], [[word("green", 0.4, flagged=True)]]) == {"same_verdict": 0.0}


def test_metrics_by_hand() -> None:
    words = [
        [word("red", 0.7, flagged=True), word("disc", 0.5, task=True)],
        [word("square", 0.6, task=True), word("dark", 0.4, flagged=True), word("green", 0.2)],
        [word("cross", 0.6, task=True)],
    ]
    found = found_metrics(words, [{"red"}, {"green", "lime"}, {"blue"}])
    assert found == pytest.approx({
        "hit_1": 1 / 3, "hit_5": 2 / 3, "mean_reciprocal_rank": (1 + 1 / 3) / 3, "named_share": 1 / 3,
        "other_words": 1 / 3, "planted_score": 0.45, "task_score": (0.5 + 0.6 + 0.6) / 3, "margin": (0.2 - 0.4) / 2,
    })  # fmt: skip
    assert found_metrics(words, [set(), set(), set()]) == {}


def test_words_and_plurals() -> None:
    assert words_of("A photo of two ROCKS, one well-lit; on it's 3 é") == {"two", "rocks", "one", "well-lit"}
    assert fold_plurals([{"rocks", "berries", "grass"}, {"rock", "berry"}]) == [
        {"rock", "berry", "grass"},
        {"rock", "berry"},
    ]
    assert fold_plurals([{"rocks"}]) == [{"rocks"}]
    assert (word_of("7"), word_of("pole_vaulting")) == ("seven", "pole vaulting")


def test_a_bag_of_words_is_a_share_of_common_words() -> None:
    vectors = BagOfWords().encode(["red disc", "disc red", "red square", "the"])
    assert torch.allclose(vectors[0], vectors[1])
    assert float(vectors[0] @ vectors[2]) == pytest.approx(0.5, abs=0.1)
    assert vectors[3].norm() == 0


def test_the_packaged_sentence_encoder_knows_what_words_mean() -> None:
    pytest.importorskip("sentence_transformers")
    vectors = build_encoder(EncoderConfig()).encode(["rock", "rocks", "sea", "a photo of the sea"])
    similar = vectors @ vectors.T
    assert torch.allclose(similar.diag(), torch.ones(4), atol=1e-5)
    assert similar[0, 1] > 0.8 > similar[0, 2]
    assert similar[2, 3] > similar[0, 3]


def test_a_sentence_encoder_that_is_not_there(tmp_path) -> None:
    pytest.importorskip("sentence_transformers")
    with pytest.raises(UserError, match="give the folder of a downloaded one") as error:
        build_encoder(EncoderConfig(model=str(tmp_path / "none")))
    assert "\n" not in str(error.value)
