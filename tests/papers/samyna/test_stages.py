"""Which images stand for a class, which instant is the most biased, and the stages together."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from lab.cli import main
from lab.data.base import Facts
from lab.data.batch import Batch
from lab.data.signals import SignalTable
from lab.errors import UserError
from lab.papers.samyna.biased_model import confidence_gaps
from lab.papers.samyna.clip import Clip
from lab.papers.samyna.config import PseudoGroupsConfig
from lab.papers.samyna.naming import Word
from lab.papers.samyna.pseudo_groups import PseudoGroups, caption_probabilities, cue_texts
from lab.papers.samyna.stage import WORD_WIDTH
from lab.papers.samyna.subsets import FALSE_POSITIVE, NONE, TRUE_POSITIVE, medoids, representatives
from lab.papers.samyna.texts import pack, unpack
from lab.stages.artefact import TABLE, Artefact
from tests.papers.samyna.conftest import TINY_CLIP


def test_the_confidence_gap_by_hand() -> None:
    probabilities = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.5, 0.3, 0.2]])
    gap, errors = confidence_gaps(probabilities.log(), torch.tensor([2, 1, 1]))
    assert float(gap) == pytest.approx(0.6 + 0.2)
    assert int(errors) == 2


def test_medoids_of_clusters_are_one_of_each() -> None:
    generator = torch.Generator().manual_seed(0)
    centres = torch.eye(4).repeat_interleave(8, 0)
    rows = medoids(centres + 0.05 * torch.randn(32, 4, generator=generator), 4)
    assert sorted((rows // 8).tolist()) == [0, 1, 2, 3]


def test_medoids_are_close_to_the_best_choice() -> None:
    features = torch.randn(12, 5, generator=torch.Generator().manual_seed(3))
    distance = 1 - F.normalize(features, dim=1) @ F.normalize(features, dim=1).T
    best = min(float(distance[list(chosen)].amin(0).sum()) for chosen in combinations(range(12), 3))
    assert float(distance[medoids(features, 3)].amin(0).sum()) <= 1.1 * best


def test_medoids_of_equal_images_are_different_ones() -> None:
    assert len(set(medoids(torch.ones(9, 3), 4).tolist())) == 4
    assert medoids(torch.ones(2, 3), 4).tolist() == [0, 1]


def test_representatives_are_true_and_false_positives() -> None:
    labels = torch.tensor([0, 0, 0, 0, 1, 1, 1, 0])
    predictions = torch.tensor([0, 0, 0, 1, 0, 1, 1, 1])
    chosen = representatives(labels, predictions, torch.randn(8, 3), per_pool=2, most=100)
    true, false = chosen == TRUE_POSITIVE, chosen == FALSE_POSITIVE
    assert (labels == predictions)[true].all() and not (labels == predictions)[false].any()
    assert [int((true & (predictions == k)).sum()) for k in (0, 1)] == [2, 2]
    assert [int((false & (predictions == k)).sum()) for k in (0, 1)] == [1, 2]
    assert int((chosen == NONE).sum()) == 1


def test_texts_survive_the_table() -> None:
    texts = ["", "a rock", "Gärten und Bäume"]
    assert unpack(pack(texts, 40)) == texts
    assert unpack(pack(["äää"], 5)) == ["ää"]  # not half a letter


def naming(folder: Path, flagged: list[list[str]]) -> Artefact:
    """An artefact of a naming stage whose first words are flagged and whose last is not."""
    rows = [[Word(w, (w,), 0.5, 1, 1, False, True) for w in words] + [Word("noise", ("noise",), 0, 1, 1, False, False)]
            for words in flagged]  # fmt: skip
    width = max(map(len, rows))
    padded = [row + [Word("", (), 0, 0, 0, False, False)] * (width - len(row)) for row in rows]
    folder.mkdir()
    columns = {
        "index": torch.arange(len(rows)),
        "word": torch.stack([pack([w.word for w in row], WORD_WIDTH) for row in padded]),
        "members": torch.stack([pack([" ".join(w.members) for w in row], WORD_WIDTH) for row in padded]),
        **{n: torch.tensor([[float(getattr(w, n)) for w in row] for row in padded])
           for n in ("score", "true_share", "false_share", "task", "flagged")},
    }  # fmt: skip
    save_file(columns, folder / TABLE)
    return Artefact(folder)


def batch(labels: list[int], biases: list[int]) -> Batch:
    images = torch.rand(len(labels), 3, 16, 16, generator=torch.Generator().manual_seed(0))
    label, bias = torch.tensor(labels), torch.tensor(biases)
    return Batch(torch.arange(len(labels)), images, label, 2 * label + bias)


def captions(folder: Path, texts: list[str]) -> Artefact:
    folder.mkdir()
    save_file({"caption": pack(texts, 64)}, folder / TABLE)
    return Artefact(folder)


def test_captions_with_the_cue_of_another_class_are_conflicting(tmp_path: Path, facts: Facts) -> None:
    said = ["a red disc", "a green disc", "a red square", "greens with a square", "a disc", "a noise disc"]
    inputs = {"naming": naming(tmp_path / "n", [["red"], ["green"]]), "captions": captions(tmp_path / "c", said)}
    module = PseudoGroups(PseudoGroupsConfig(), facts, inputs)
    table = module.predict_step(batch([0, 0, 1, 1, 0, 0], [0, 1, 0, 1, 0, 0]), 0)
    signal = SignalTable.from_columns(table)
    assert (signal.prediction != signal.label).tolist() == [False, True, True, False, False, False]
    assert torch.equal(signal.loss.argsort(descending=True)[:2].sort().values, torch.tensor([1, 2]))
    found = module.summarise(table, ()).metrics
    assert (found["conflicting_share"], found["precision"], found["recall"]) == (pytest.approx(1 / 3), 1.0, 1.0)


def test_without_names_no_row_is_conflicting_and_no_clip_is_needed(tmp_path: Path, facts: Facts) -> None:
    module = PseudoGroups(PseudoGroupsConfig(), facts, {"naming": naming(tmp_path / "n", [[], []])})
    table = module.predict_step(batch([0, 1], [1, 0]), 0)
    assert torch.equal(table["prediction"], table["label"])
    SignalTable.from_columns(table)


def test_equal_counts_speak_for_the_label() -> None:
    found = caption_probabilities(["red and green", "red"], [["red"], ["green"]], torch.tensor([1, 1]))
    assert found.argmax(1).tolist() == [1, 0]
    assert torch.allclose(found.sum(1), torch.ones(2))


@pytest.mark.parametrize("flagged", [[["red"], ["green"]], [["red"], []]])
def test_zero_shot_clip_takes_the_nearest_cue(
    tmp_path: Path, facts: Facts, open_clip_weights: dict[str, str], flagged: list[list[str]]
) -> None:
    config = PseudoGroupsConfig(model=TINY_CLIP, weights=open_clip_weights[TINY_CLIP])
    module = PseudoGroups(config, facts, {"naming": naming(tmp_path / "n", flagged)})
    rows = batch([0, 1, 0, 1, 1, 0], [0, 1, 1, 0, 0, 0])
    table = module.predict_step(rows, 0)
    SignalTable.from_columns(table)
    clip = Clip(TINY_CLIP, open_clip_weights[TINY_CLIP], "test")
    texts = cue_texts(clip, flagged, facts.class_names)
    nearest = (clip.images(rows.image) @ texts.T).argmax(1)
    # The second value is the cue of class 1, or none of the cues, which leaves the label.
    expected = nearest if all(flagged) else torch.where(nearest == 1, rows.label, 0)
    assert torch.equal(table["prediction"], expected)


def test_pseudo_groups_need_names_and_clip_needs_weights(tmp_path: Path, facts: Facts) -> None:
    with pytest.raises(UserError, match=r"needs: \{naming"):
        PseudoGroups(PseudoGroupsConfig(), facts, {})
    pytest.importorskip("open_clip")
    with pytest.raises(UserError, match="needs the weights of RN50"):
        PseudoGroups(PseudoGroupsConfig(), facts, {"naming": naming(tmp_path / "n", [["red"], []])})


POST_HOC = """
name: post_hoc
data: {{name: shapes, classes: {classes}, train: 80, val: 20, test: 20, image_size: 16}}
trainer: {{max_epochs: 1, batch_size: 20, accelerator: cpu}}
stages:
  given:
    verb: fit
    module:
      name: samyna/pretrained
      features: true
      network: {{arch: squeezenet1_1, weights: {weights}, input_size: 32}}
    trainer: {{max_epochs: null, max_steps: {steps}}}
  given_test: {{verb: test, weights: given}}
  given_signal: {{verb: predict, weights: given, split: val}}
  words:
    verb: predict
    split: val
    module: {{name: samyna/captions, per_pool: {per_pool}, captioner: {captioner}}}
    needs: {{signal: given_signal}}
  naming:
    verb: predict
    module: {{name: samyna/naming, encoder: {{kind: bag_of_words}}}}
    data: {{name: samyna/classes}}
    needs: {{captions: words}}
"""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network with three classes, as torch.save wrote it."""
    from torchvision.models import squeezenet1_1

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("checkpoint") / "network.pth"
    torch.save(squeezenet1_1(num_classes=3).state_dict(), path)
    return path


def run(folder: Path, **values: object) -> int:
    usual = {"classes": 3, "steps": 0, "per_pool": 10, "captioner": "{kind: drawn}"}
    (folder / "post_hoc.yaml").write_text(POST_HOC.format(**{**usual, **values}))
    return main(["fit", "--config", str(folder / "post_hoc.yaml"), f"runs_dir={folder / 'runs'}"])


def test_a_network_from_a_file_is_audited_as_it_is(tmp_path: Path, checkpoint: Path) -> None:
    assert run(tmp_path, weights=checkpoint) == 0
    (found,) = (tmp_path / "runs").glob("post_hoc-*")
    weights = Artefact(found / "artefacts" / "given").weights()
    given = torch.load(checkpoint, weights_only=True)
    assert torch.equal(weights["network.trunk.0.weight"], given["features.0.weight"])
    metrics = Artefact(found / "artefacts" / "naming").metrics
    assert {"alarm_share", "weak_share", "hit_1", "mean_reciprocal_rank"} <= metrics.keys()
    words = Artefact(found / "artefacts" / "words")
    assert len(words.pictures()) == 3
    counts = [value for name, value in words.metrics.items() if "_positives/" in name]
    assert words.metrics["captions"] == sum(counts) > 0
    assert json.loads((found / "run.json").read_text())["status"] == "finished"


def test_captions_of_models_are_asked_for_once(
    tmp_path: Path, checkpoint: Path, open_clip_weights: dict[str, str]
) -> None:
    captioner = f"{{kind: clip_words, model: {TINY_CLIP}, weights: {open_clip_weights[TINY_CLIP]}, top: 3}}"
    assert run(tmp_path, weights=checkpoint, captioner=captioner) == 0
    (found,) = (tmp_path / "runs").glob("post_hoc-*")
    first = Artefact(found / "artefacts" / "words")
    said = {text for text in unpack(first.table()["caption"]) if text}
    assert all(len(text.removeprefix("a photo of ").split(", ")) == 3 for text in said)
    kept = list((tmp_path / "runs" / "cache" / "captions").glob("*/*.txt"))
    assert len(kept) == first.metrics["captions"]
    for path in kept:
        path.write_text("as it was kept")
    assert run(tmp_path, weights=checkpoint, captioner=captioner, per_pool=2) == 0
    (again,) = {*(tmp_path / "runs").glob("post_hoc-*")} - {found}
    table = Artefact(again / "artefacts" / "words").table()
    assert {text for text in unpack(table["caption"]) if text} == {"as it was kept"}


def test_a_network_for_other_classes_or_one_that_would_be_trained(tmp_path: Path, checkpoint: Path, capsys) -> None:
    assert run(tmp_path, weights=checkpoint, classes=4) == 2
    assert "has no head for the 4 classes" in capsys.readouterr().err
    assert run(tmp_path, weights=checkpoint, steps=2) == 2
    assert "the network is taken as it is" in capsys.readouterr().err


BIASED = """
name: biased
data: {name: shapes, classes: 3, train: 90, val: 30, test: 30, image_size: 12}
trainer: {max_epochs: 2, batch_size: 30, accelerator: cpu}
stages:
  model:
    verb: fit
    module: {name: samyna/biased_model, network: {arch: cnn, arch_options: {width: 4}}, errors_per_class: 0}
    trainer: {select: best, monitor: val/guarded_confidence_gap}
  signal: {verb: predict, weights: model}
  guarded:
    verb: fit
    module: {name: samyna/biased_model, network: {arch: cnn, arch_options: {width: 4}}, errors_per_class: 31}
    trainer: {select: best, monitor: val/guarded_confidence_gap}
"""


def test_the_kept_epoch_is_the_one_with_the_largest_gap(tmp_path: Path) -> None:
    (tmp_path / "biased.yaml").write_text(BIASED)
    assert main(["fit", "--config", str(tmp_path / "biased.yaml"), f"runs_dir={tmp_path / 'runs'}"]) == 0
    (found,) = (tmp_path / "runs").glob("biased-*")
    model, guarded = (Artefact(found / "artefacts" / name) for name in ("model", "guarded"))
    signal = SignalTable.from_columns(Artefact(found / "artefacts" / "signal").table())
    wrong = signal.prediction != signal.label
    gap = signal.probabilities.amax(1) - signal.probabilities.gather(1, signal.label[:, None])[:, 0]
    metrics = model.metrics
    assert metrics["val/train_errors"] == int(wrong.sum()) > 0
    assert metrics["val/confidence_gap"] == pytest.approx(float(gap[wrong].mean()), rel=1e-4)
    assert metrics["val/guarded_confidence_gap"] == metrics["val/confidence_gap"]
    assert metrics["val/train_accuracy"] == pytest.approx(1 - float(wrong.float().mean()))
    curve = [line.split(",") for line in (model.path / "curves.csv").read_text().splitlines()]
    gaps = {int(step): float(value) for step, name, value in curve[1:] if name == "val/guarded_confidence_gap"}
    assert len(gaps) == 2 and max(gaps, key=gaps.__getitem__) == metrics["kept_step"]
    # All instants have too few errors: none is judged, and the first is kept.
    assert (guarded.metrics["val/guarded_confidence_gap"], guarded.metrics["kept_step"]) == (0, 3)
