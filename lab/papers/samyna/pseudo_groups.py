"""From names to pseudo-groups: which of the named cues each image carries (step C of SaMyNa)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from lab.data.base import Facts
from lab.data.batch import Batch
from lab.data.signals import SignalTable
from lab.errors import UserError
from lab.papers.debiasing.classifier import identification
from lab.papers.samyna.clip import Clip
from lab.papers.samyna.config import PseudoGroupsConfig
from lab.papers.samyna.stage import read_words
from lab.papers.samyna.texts import unpack
from lab.papers.samyna.words import CLASS_TEMPLATES, PHOTO_TEMPLATES, fold_plurals, word_of, words_of
from lab.stages.artefact import Artefact
from lab.stages.module import StageModule, Summary

SURE = 0.9
"""Probability of the cue that a caption names; the other classes share the rest."""


class PseudoGroups(StageModule):
    """A signal table (`lab.data.signals`) whose `prediction` is the class that an image's cue goes with.

    `needs: {naming: …}` gives the flagged words of each class, its cue. `prediction` is the class whose cue the image
    carries, and the label where it carries none. So an error is an image with the cue of another class, and GroupDRO
    with `groups: signal` balances class x {own cue or none, foreign cue}. Without any flagged word no row is an error.

    With `needs: {captions: …}`, a stage of `samyna/captions` with `rows: all`, an image carries the cue that its
    caption names most often. Otherwise zero-shot CLIP decides, as in B2T: the likeliest of the cues, each the mean of
    its words' texts over templates, or of a text without a cue where a class has none.
    """

    config: PseudoGroupsConfig

    def __init__(self, config: PseudoGroupsConfig, facts: Facts, inputs: Mapping[str, Artefact] | None = None):
        super().__init__(config, facts, inputs)
        if "naming" not in self.inputs:
            raise UserError("samyna/pseudo_groups: needs the words of a naming stage; give `needs: {naming: …}`")
        words = read_words(self.inputs["naming"].table())
        if len(words) != facts.num_classes:
            raise UserError(f"samyna/pseudo_groups: names for {len(words)} classes, the data has {facts.num_classes}")
        self.cues = [sorted({m for word in ranked if word.flagged for m in word.members}) for ranked in words]
        self.captions: list[str] | None = None
        self.clip: Clip | None = None
        if "captions" in self.inputs:
            self.captions = unpack(self.inputs["captions"].table()["caption"])
        elif any(self.cues):
            self.clip = Clip(config.model, config.weights, "samyna/pseudo_groups")
            self.register_buffer("texts", cue_texts(self.clip, self.cues, facts.class_names), persistent=False)

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        probabilities = self._probabilities(batch)
        own = probabilities.gather(1, batch.label[:, None])[:, 0]
        columns = {
            "index": batch.index,
            "label": batch.label,
            # Where own and foreign cues are equal, the label: there is no evidence against it.
            "prediction": torch.where(own >= probabilities.amax(1), batch.label, probabilities.argmax(1)),
            "probabilities": probabilities,
            "loss": -own.clamp(min=1e-12).log().clamp(max=0),
        }
        if self.facts.num_biases:
            columns["group"] = batch.group
            columns["bias"] = torch.where(batch.group < 0, -1, batch.group % self.facts.num_biases)
        return columns

    def _probabilities(self, batch: Batch) -> Tensor:
        """float32 (B, C): how likely the cue of each class is; of no cue counts for the label."""
        classes = self.facts.num_classes
        if self.captions is not None:
            said = [self.captions[row] for row in batch.index.tolist()]
            return caption_probabilities(said, self.cues, batch.label)
        if self.clip is None:
            return F.one_hot(batch.label, classes).float()
        similar = self.clip.images(batch.image) @ self.get_buffer("texts").T / self.config.temperature
        found = similar.softmax(1)
        named = torch.tensor([bool(cue) for cue in self.cues], device=found.device)
        probabilities = torch.zeros(len(found), classes, device=found.device)
        probabilities[:, named] = found[:, : int(named.sum())]
        if not named.all():
            probabilities.scatter_add_(1, batch.label[:, None], found[:, -1:])
        return probabilities

    def summarise(self, table: Mapping[str, Tensor], names: Sequence[str]) -> Summary:
        """`conflicting_share`, of rows with a foreign cue, and `Identification` of the truly conflicting rows."""
        signal = SignalTable.from_columns(table)
        flagged = signal.prediction != signal.label
        found = {name: float(value) for name, value in identification(signal, flagged, self.facts).items()}
        return Summary({"conflicting_share": float(flagged.float().mean()), **found})


def cue_texts(clip: Clip, cues: Sequence[Sequence[str]], class_names: Sequence[str]) -> Tensor:
    """float32 (values, d): of each class that has a cue, then of no cue where a class has none; of length 1.

    Means over templates, class names and words, as in B2T.
    """
    labels = [word_of(name) for name in class_names]
    sets = []
    for cue in cues:
        phrases = [t.format(label=label, word=word) for t in CLASS_TEMPLATES for label in labels for word in cue]
        sets += [[*cue, *phrases]] if cue else []
    if not all(cues):
        sets.append(labels)
    means = [clip.encode([t.format(phrase) for t in PHOTO_TEMPLATES for phrase in phrases]).mean(0) for phrases in sets]
    return F.normalize(torch.stack(means), dim=1)


def caption_probabilities(captions: Sequence[str], cues: Sequence[Sequence[str]], labels: Tensor) -> Tensor:
    """float32 (B, C): `SURE` for the class whose cue a caption names by most of its words, else for the label."""
    classes = len(cues)
    probabilities = torch.full((len(captions), classes), (1 - SURE) / max(classes - 1, 1), device=labels.device)
    known = [set(cue) for cue in cues]
    own_words = set().union(*known)
    for row, words in enumerate(words_of(caption) for caption in captions):
        folded = fold_plurals([words, own_words])[0]
        counts = torch.tensor([len(cue & folded) for cue in known])
        label = int(labels[row])
        best = label if counts[label] == counts.max() else int(counts.argmax())
        probabilities[row, best] = SURE if classes > 1 else 1.0
    return probabilities
