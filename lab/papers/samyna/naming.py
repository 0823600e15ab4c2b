"""From the captions of each class to ranked words and a verdict (steps 3 to 5 of SaMyNa). Pure computation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from lab.papers.samyna.config import NamingConfig
from lab.papers.samyna.encoders import TextEncoder
from lab.papers.samyna.words import fold_plurals, word_of, words_of


@dataclass(frozen=True)
class Pools:
    """Captions of the representatives of one class: images rightly and wrongly predicted as it."""

    true: Sequence[str]
    false: Sequence[str]


@dataclass(frozen=True)
class Word:
    """A keyword of a class.

    word: what the class's captions say most often of those that count as one; members: all of these.
    score: cosine with the class's vector.
    true_share, false_share: share of the captions of the true and false positives that have it.
    task: it is about the task, not about a spurious cue.
    flagged: it passes every rule, and is said to name a bias of the class.
    """

    word: str
    members: tuple[str, ...]
    score: float
    true_share: float
    false_share: float
    task: bool
    flagged: bool


def name_bias(
    pools: Sequence[Pools], class_names: Sequence[str], encoder: TextEncoder, config: NamingConfig
) -> list[list[Word]]:
    """Keywords of each class, best first. No word is flagged in a class without false positives: there is no evidence.

    Args:
        pools: one for each class; both empty where the model never predicts it.
    """
    spoken = [[*pool.true, *pool.false] for pool in pools]
    folded = iter(fold_plurals([words_of(caption) for captions in spoken for caption in captions]))
    said = [[next(folded) for _ in captions] for captions in spoken]
    groups, vectors = synonyms(Counter(word for captions in said for words in captions for word in words),
                               encoder, config.same_word)  # fmt: skip
    if not groups:
        return [[] for _ in pools]
    group_of = {word: number for number, members in enumerate(groups) for word in members}
    # has[c]: bool (captions, groups): whether a caption of class c has a word of the group.
    has = [_mentions(captions, group_of, len(groups)) for captions in said]
    classes = class_vectors(pools, encoder, config)
    prompts = encoder.encode([p for name in class_names for p in (word_of(name), f"a photo of a {word_of(name)}")])
    words = torch.cat([encoder.encode([group[0]]) for group in groups])
    task = (words @ prompts.T).amax(1) >= config.task_word
    counts = torch.stack([mentions.sum(0) for mentions in has])
    sizes = torch.tensor([len(mentions) for mentions in has])
    ranked = []
    for label, pool in enumerate(pools):
        share = counts[label] / max(int(sizes[label]), 1)
        keywords = [int(g) for g in share.argsort(descending=True, stable=True) if share[g] > 0]
        keywords = [g for g in keywords if share[g] >= config.keyword_share][: config.most_keywords]
        found = []
        for g in keywords:
            score = float(vectors[g] @ classes[label])
            true, false = (_share(part) for part in (has[label][: len(pool.true), g], has[label][len(pool.true) :, g]))
            shared = false > 0 and false >= config.false_share * true
            passes = shared and not task[g] and score >= config.score
            if passes and config.significance is not None:
                hits, rest = int(counts[label, g]), int(counts[:, g].sum() - counts[label, g])
                p = chance(hits, int(sizes[label]), rest, int(sizes.sum() - sizes[label]))
                passes = p * len(groups) <= config.significance
            said_as = max(groups[g], key=lambda member: sum(member in words for words in said[label]))
            found.append(Word(said_as, groups[g], score, true, false, bool(task[g]), bool(passes)))
        ranked.append(sorted(found, key=lambda word: -word.score))
    return ranked


def synonyms(counts: Mapping[str, int], encoder: TextEncoder, least: float) -> tuple[list[tuple[str, ...]], Tensor]:
    """Words that mean the same, the most frequent of each group first, and the groups' vectors (g, d) of length 1.

    A word joins the first group whose leading word is within the cosine `least`. Words of a single
    caption are dropped.
    """
    words = [word for word, n in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if n > 1]
    if not words:
        return [], torch.zeros(0, 0)
    vectors = encoder.encode(words)
    groups: list[list[int]] = []
    for place, vector in enumerate(vectors):
        near = vectors[[group[0] for group in groups]] @ vector >= least if groups else torch.zeros(0, dtype=torch.bool)
        if near.any():
            groups[int(near.long().argmax())].append(place)
        else:
            groups.append([place])
    means = torch.stack([vectors[group].mean(0) for group in groups])
    return [tuple(words[place] for place in group) for group in groups], F.normalize(means, dim=1)


def class_vectors(pools: Sequence[Pools], encoder: TextEncoder, config: NamingConfig) -> Tensor:
    """v (C, d) of length 1: e_c = (mean of the true positives' captions + mean of the false ones') / 2, less the mean
    of e over the classes. A pool that is empty is left out; a class with none is 0, and no part of the mean.
    """
    used = [[pool.true, pool.false] if config.false_positives else [pool.true] for pool in pools]
    texts = [caption for parts in used for part in parts for caption in part]
    if not texts:
        return torch.zeros(len(pools), 1)
    vectors = iter(encoder.encode(texts))
    means = []
    for parts in used:
        found = [torch.stack([next(vectors) for _ in part]).mean(0) for part in parts if part]
        means.append(torch.stack(found).mean(0) if found else None)
    known = [mean for mean in means if mean is not None]
    shared = torch.stack(known).mean(0) if config.remove_shared and len(known) > 1 else torch.zeros_like(known[0])
    rows = [torch.zeros_like(shared) if mean is None else mean - shared for mean in means]
    return F.normalize(torch.stack(rows), dim=1)


def _mentions(captions: Sequence[set[str]], group_of: Mapping[str, int], groups: int) -> Tensor:
    found = torch.zeros(len(captions), groups, dtype=torch.bool)
    for row, words in enumerate(captions):
        found[row, [group_of[word] for word in words if word in group_of]] = True
    return found


def _share(has: Tensor) -> float:
    return float(has.float().mean()) if len(has) else 0.0


def chance(hits: int, of: int, other_hits: int, of_others: int) -> float:
    """p of Fisher's exact test, one-sided: as many of these captions or more have a word by chance."""
    from scipy.stats import hypergeom

    return float(hypergeom.sf(hits - 1, of + of_others, hits + other_hits, of))
