"""Naming as a predict stage with one row for each class (steps B3 to B5 of SaMyNa)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from statistics import fmean
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lab.data.base import Facts, Split
from lab.data.module import ClassGridRows, LabDataModule, Loading
from lab.papers.samyna.config import NamingConfig
from lab.papers.samyna.encoders import build_encoder
from lab.papers.samyna.naming import Pools, Word, name_bias
from lab.papers.samyna.pictures import word_chart
from lab.papers.samyna.subsets import FALSE_POSITIVE, TRUE_POSITIVE
from lab.papers.samyna.texts import pack, unpack
from lab.papers.samyna.words import word_of, words_of
from lab.stages.artefact import Artefact
from lab.stages.module import StageModule, Summary

if TYPE_CHECKING:
    from lab.data.module import Request

WORD_WIDTH = 48
MEMBERS_WIDTH = 256
KINDS = (TRUE_POSITIVE, FALSE_POSITIVE)


class Classes(LabDataModule):
    """A row for each class that the captions of `needs: {captions: …}` speak of."""

    def __init__(self, config: Any, loading: Loading, inputs: Mapping[str, Artefact] | None = None):
        super().__init__(config, loading, inputs)
        facts = self.inputs["captions"].facts()
        self._rows = ClassGridRows(facts.num_classes, 1)
        self.facts = replace(facts, sizes=dict.fromkeys(("train", "val", "test"), facts.num_classes))

    def rows(self, split: Split) -> ClassGridRows:
        return self._rows

    def names(self, split: Split) -> Sequence[str]:
        return self.facts.class_names


class Naming(StageModule):
    """The ranked words of each class, and which of them name a bias.

    Columns, a row a class and padded to `most_keywords`: `word` and `members` (UTF-8, see `lab.papers.samyna.texts`;
    members by spaces), `score`, `true_share`, `false_share`, and `task`, `flagged` (0 or 1); best score first.
    """

    config: NamingConfig

    @cached_property
    def words(self) -> list[list[Word]]:
        config = self.config
        return name_bias(self.pools, self.facts.class_names, build_encoder(config.encoder), config)

    @cached_property
    def pools(self) -> list[Pools]:
        table = self.inputs["captions"].table()
        found = []
        for label in range(self.facts.num_classes):
            own = table["prediction"] == label
            found.append(Pools(*(unpack(table["caption"][own & (table["pool"] == kind)]) for kind in KINDS)))
        return found

    def predict_step(self, batch: Request, batch_idx: int) -> dict[str, Tensor]:
        width = self.config.most_keywords
        columns: dict[str, list[Tensor]] = {}
        for label in batch.label.tolist():
            words = self.words[label]
            row = {
                "word": pack(_padded([w.word for w in words], width, ""), WORD_WIDTH),
                "members": pack(_padded([" ".join(w.members) for w in words], width, ""), MEMBERS_WIDTH),
                "score": torch.tensor(_padded([w.score for w in words], width, 0.0)),
                "true_share": torch.tensor(_padded([w.true_share for w in words], width, 0.0)),
                "false_share": torch.tensor(_padded([w.false_share for w in words], width, 0.0)),
                "task": torch.tensor(_padded([int(w.task) for w in words], width, 0)),
                "flagged": torch.tensor(_padded([int(w.flagged) for w in words], width, 0)),
            }
            for name, values in row.items():
                columns.setdefault(name, []).append(values)
        return {"index": batch.index, "label": batch.label, **{n: torch.stack(v) for n, v in columns.items()}}

    def summarise(self, table: Mapping[str, Tensor], names: Sequence[str]) -> Summary:
        """`alarm_share`, the share of the classes with a bias found, `weak_share`, of those without a false positive;
        where the data names its bias, how well it was found (`found_metrics`); with `needs: {other: …}`, a naming
        stage of another seed, instant or encoder, how alike they are (`agreement`); the picture `words.png`.
        """
        words = read_words(table)
        alarms = [any(word.flagged for word in ranked) for ranked in words]
        metrics = {"alarm_share": fmean(alarms), "weak_share": fmean(not pool.false for pool in self.pools)}
        metrics |= found_metrics(words, planted_words(self.facts, self.config.bias_words))
        if "other" in self.inputs:
            metrics |= agreement(words, read_words(self.inputs["other"].table()))
        return Summary(metrics, {"words.png": word_chart(words, self.facts.class_names, self.config.score)})


def _padded(values: Sequence[Any], width: int, value: Any) -> list[Any]:
    return [*values[:width], *[value] * (width - len(values))]


def read_words(table: Mapping[str, Tensor]) -> list[list[Word]]:
    """The words of each class from the columns of a naming stage, best first."""
    found = []
    for row in range(len(table["index"])):
        numbers = zip(*(table[n][row].tolist() for n in ("score", "true_share", "false_share", "task", "flagged")),
                      strict=True)  # fmt: skip
        texts = zip(unpack(table["word"][row]), unpack(table["members"][row]), strict=True)
        found.append([
            Word(word, tuple(members.split()), score, true, false, bool(task), bool(flagged))
            for (word, members), (score, true, false, task, flagged) in zip(texts, numbers, strict=True)
            if word
        ])  # fmt: skip
    return found


def planted_words(facts: Facts, meaning: Mapping[str, Sequence[str]]) -> list[set[str]]:
    """The words that would be right for each class: of the bias attributes that go with it, by `meaning` or by name."""
    if not facts.aligned.size:
        return [set() for _ in facts.class_names]
    of_bias = [
        set().union(*(words_of(word_of(said)) for said in meaning.get(name, [name]))) for name in facts.bias_names
    ]
    return [
        set().union(*(words for words, aligned in zip(of_bias, row, strict=True) if aligned)) for row in facts.aligned
    ]


def found_metrics(words: Sequence[Sequence[Word]], planted: Sequence[set[str]]) -> dict[str, float]:
    """Over the classes that have a planted word; nothing where none has.

    `hit_1`, `hit_5`: share of the classes with a planted word among the first, the first five of all words, those of
        the task included. `mean_reciprocal_rank`: mean of 1 / rank, 0 where no planted word is ranked.
    `named_share`: share of the classes whose first flagged word is a planted one.
    `other_words`: flagged words that are not planted, a class.
    `planted_score`, `task_score`, `margin`: best score of a planted word, of a task word, and the first less the
        second, each the mean over the classes that have such words.
    """
    known = [(ranked, right) for ranked, right in zip(words, planted, strict=True) if right]
    if not known:
        return {}
    ranks, named, others = [], [], []
    planted_scores, task_scores, margins = [], [], []
    for ranked, right in known:
        fits = [not right.isdisjoint(word.members) for word in ranked]
        ranks.append(fits.index(True) + 1 if any(fits) else None)
        flagged = [fit for fit, word in zip(fits, ranked, strict=True) if word.flagged]
        named.append(bool(flagged) and flagged[0])
        others.append(flagged.count(False))
        best = max((word.score for fit, word in zip(fits, ranked, strict=True) if fit), default=None)
        task = max((word.score for word in ranked if word.task), default=None)
        planted_scores += [best] if best is not None else []
        task_scores += [task] if task is not None else []
        margins += [best - task] if best is not None and task is not None else []
    means = {"planted_score": planted_scores, "task_score": task_scores, "margin": margins}
    return {
        "hit_1": fmean(rank == 1 for rank in ranks),
        "hit_5": fmean(rank is not None and rank <= 5 for rank in ranks),
        "mean_reciprocal_rank": fmean(1 / rank if rank else 0.0 for rank in ranks),
        "named_share": fmean(named),
        "other_words": fmean(others),
        **{name: fmean(values) for name, values in means.items() if values},
    }


def agreement(words: Sequence[Sequence[Word]], others: Sequence[Sequence[Word]]) -> dict[str, float]:
    """`rank_agreement`: Kendall's tau of the words that both rank, the mean over the classes with two such words or
    more. `same_verdict`: share of the classes in which the same words are flagged. Each absent where it isn't defined.
    """
    from scipy.stats import kendalltau

    taus, same = [], []
    for ranked, other in zip(words, others, strict=True):
        scores = {member: word.score for word in other for member in word.members}
        common = [(word.score, scores[word.word]) for word in ranked if word.word in scores]
        if len(common) > 1:
            taus.append(float(kendalltau(*zip(*common, strict=True)).statistic))
        mine, theirs = ({m for word in side if word.flagged for m in word.members} for side in (ranked, other))
        same.append(mine == theirs)
    return {"same_verdict": fmean(same), **({"rank_agreement": fmean(taus)} if taus else {})}
