"""The routes through models, whole and from the YAML: random weights on the disk, nothing downloaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from lab.cli import main
from lab.data.base import Facts
from lab.papers.samyna.captioners import build_captioner
from lab.papers.samyna.config import CaptionerConfig
from lab.papers.samyna.texts import unpack
from lab.stages.artefact import Artefact
from tests.papers.samyna.conftest import TINY_CLIP, TINY_COCA
from tests.papers.samyna.test_captioners import asked

BASES = Path(__file__).parents[3] / "experiments" / "bases"
EXPERIMENT = """\
extends: {bases}/samyna.yaml
name: route
data: {{name: shapes, classes: 3, train: 60, val: 15, test: 15, image_size: 16}}
trainer: {{batch_size: 30, validate_every: 0, max_epochs: 1}}
loggers: []
report: {{headline: [accuracy]}}
stages:
  erm: {{module: {{network: {{arch_options: {{width: 4}}}}}}}}
  erm_test: null
  samyna_test: null
  samyna_biased: {{module: {{errors_per_class: 0}}}}
  samyna_captions: {{module: {{per_pool: 3, captioner: {captioner}}}}}
  # Whatever recurs is named, so that CLIP is asked.
  samyna_naming: {{module: {{encoder: {encoder}, score: -1.0, significance: null, false_share: 0.0, task_word: 1.0}}}}
  samyna_groups: {{module: {{model: {clip}, weights: {weights}}}}}
"""


@pytest.fixture(scope="session")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a LLaVA model with random weights and a vocabulary of a few words."""
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder = tmp_path_factory.mktemp("llava")
    words = ["<pad>", "<unk>", "<s>", "</s>", "<image>", "USER:", "ASSISTANT:", "a", "disc", "red", "square", "green"]
    plain = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="<unk>"))
    plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=plain, pad_token="<pad>", unk_token="<unk>", bos_token="<s>", eos_token="</s>",
        additional_special_tokens=["<image>"],
    )  # fmt: skip
    side = {"height": 32, "width": 32}
    template = (
        "{% for m in messages %}{{ m['role'].upper() }}: {% for c in m['content'] %}"
        "{% if c['type'] == 'image' %}<image> {% else %}{{ c['text'] }} {% endif %}{% endfor %}{% endfor %}"
        "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
    )
    processor = transformers.LlavaProcessor(
        transformers.CLIPImageProcessor(size=side, crop_size=side), tokenizer, patch_size=16,
        vision_feature_select_strategy="default", chat_template=template, num_additional_image_tokens=1,
    )  # fmt: skip
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.LlavaConfig(
        vision_config=transformers.CLIPVisionConfig(**small, image_size=32, patch_size=16, projection_dim=16),
        text_config=transformers.LlamaConfig(**small, vocab_size=len(words), pad_token_id=0, bos_token_id=2,
                                             eos_token_id=3),
        image_token_index=words.index("<image>"),
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.LlavaForConditionalGeneration(config).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def test_a_model_that_is_asked_answers_without_the_question(facts: Facts, llava: Path) -> None:
    config = CaptionerConfig(kind="vision_language", model=str(llava), prompt="a red disc", max_tokens=6)
    captioner = build_captioner(config, facts)
    captions = captioner.caption(asked())
    assert len(captions) == 3 and captions == captioner.caption(asked())
    assert all("USER:" not in caption and len(caption.split()) <= 6 for caption in captions)


@pytest.mark.parametrize("route", ["clip_words", "coca", "llava"])
def test_from_the_weights_on_the_disk_to_a_model_trained_on_named_groups(
    tmp_path: Path, open_clip_weights: dict[str, str], llava: Path, route: str
) -> None:
    captioner = {
        "clip_words": f"{{kind: clip_words, model: {TINY_CLIP}, weights: {open_clip_weights[TINY_CLIP]}, top: 4}}",
        "coca": f"{{kind: coca, model: {TINY_COCA}, weights: {open_clip_weights[TINY_COCA]}, max_tokens: 8}}",
        "llava": f"{{kind: vision_language, model: {llava}, max_tokens: 5}}",
    }[route]
    clip = open_clip_weights[TINY_CLIP]
    encoder = f"{{kind: clip, model: {TINY_CLIP}, weights: {clip}}}" if route == "coca" else "{kind: bag_of_words}"
    config = tmp_path / "route.yaml"
    config.write_text(
        EXPERIMENT.format(bases=BASES, captioner=captioner, encoder=encoder, clip=TINY_CLIP, weights=clip)
    )
    assert main(["fit", "--config", str(config), f"runs_dir={tmp_path / 'runs'}", "trainer.accelerator=cpu"]) == 0
    (run,) = (tmp_path / "runs").glob("route-*")
    assert json.loads((run / "run.json").read_text())["status"] == "finished"
    made = {name: Artefact(run / "artefacts" / name) for name in ("samyna_captions", "samyna_groups", "samyna")}
    if route == "clip_words":  # the others may write nothing, or the same of every image
        captions = made["samyna_captions"].table()
        assert all(text.startswith("a photo of ") for text in unpack(captions["caption"][captions["pool"] > 0]))
        assert made["samyna_groups"].metrics["conflicting_share"] > 0
    probabilities = made["samyna_groups"].table()["probabilities"]
    torch.testing.assert_close(probabilities.sum(1), torch.ones(60))
    assert made["samyna"].weights()
