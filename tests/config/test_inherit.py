"""`like`: a stage that takes trainer, data and shared module options of another one."""

from __future__ import annotations

import pytest

from lab.config import resolve
from lab.errors import ConfigError
from tests.config.fake_paper import EXPERIMENT, ClassifierConfig

RIVAL = "  rival: {verb: fit, like: erm, module: {name: sampler, count: 2}}\n"
TWIN = "  twin: {verb: fit, like: erm}\n"


def problems(*args, **kwargs) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        resolve(*args, **kwargs)
    return str(caught.value).splitlines()


@pytest.fixture
def text() -> str:
    """An experiment whose `erm` has something of each kind."""
    erm = "lr: 1e-2\n      net: {depth: 4}\n    trainer: {batch_size: 32, max_steps: 7}\n    data: {rho: 0.5}"
    return EXPERIMENT.replace("lr: 1e-2", erm)


def test_without_a_module_the_whole_is_taken(write, text) -> None:
    found = resolve(write(text + TWIN))
    erm, twin = found.experiment.stages["erm"], found.experiment.stages["twin"]
    assert (twin.module, twin.data, twin.trainer) == (erm.module, erm.data, erm.trainer)
    assert twin.module.options.net is not erm.module.options.net
    assert (twin.title, twin.weights, twin.needs) == (None, None, {})
    assert "like" not in found.plain()["stages"]["twin"]
    origins = {key: str(origin) for key, origin in found.origins.items()}
    assert origins["stages.twin.module.lr"] == "x.yaml:9"
    assert origins["stages.twin.trainer.max_steps"] == "x.yaml:11"
    assert origins["stages.twin.data.rho"] == "x.yaml:12"
    assert origins["stages.twin.data.name"] == "x.yaml:2"
    assert origins["stages.twin.module.nesterov"] == "default"


def test_another_component_takes_the_options_that_both_have(write) -> None:
    text = EXPERIMENT.replace("name: classifier\n      lr: 1e-2", "name: sampler\n      count: 9\n      seed: 3")
    found = resolve(write(text + RIVAL + "  other: {verb: fit, like: erm, module: {name: classifier, lr: 0.5}}\n"))
    assert found.plain()["stages"]["rival"]["module"] == {"name": "sampler", "count": 2, "seed": 3}
    assert found.experiment.stages["other"].module.options == ClassifierConfig(lr=0.5)


def test_what_the_stage_says_itself_wins_key_by_key(write, text) -> None:
    own = "  own: {verb: fit, like: erm, module: {net: {act: gelu}}, data: {hour: 9h}, trainer: {max_epochs: 2}}\n"
    grid = "  grid: {verb: fit, like: erm, data: {name: grid}, module: {dropout: null}}\n"
    stages = resolve(write(text + own + grid)).experiment.stages
    assert (stages["own"].module.options.net.depth, stages["own"].module.options.net.act) == (4, "gelu")
    assert stages["own"].module.options.lr == 0.01
    assert (stages["own"].data.options.rho, stages["own"].data.options.hour) == (0.5, "9h")
    trainer = stages["own"].trainer
    assert (trainer.max_epochs, trainer.max_steps, trainer.batch_size) == (2, None, 32)
    assert stages["grid"].data.options.per_class == 10


def test_overrides_and_profiles_reach_all_that_are_like_it(write, text) -> None:
    path = write(
        text + TWIN + "  third: {verb: fit, like: twin}\nprofiles: {fast: {stages: {erm: {trainer: {max_steps: 1}}}}}\n"
    )
    found = resolve(path, profiles=["fast"], overrides=["stages.erm.module.lr=0.5", "stages.third.module.net.depth=9"])
    for name in ("erm", "twin", "third"):
        stage = found.experiment.stages[name]
        assert (stage.module.options.lr, stage.trainer.max_steps) == (0.5, 1)
    assert [found.experiment.stages[name].module.options.net.depth for name in ("erm", "twin", "third")] == [4, 4, 9]
    assert str(found.origins["stages.third.module.lr"]) == "command line"
    own = resolve(path, overrides=["stages.erm.module.lr=0.5", "stages.twin.module.lr=0.25"]).experiment.stages
    assert [own[name].module.options.lr for name in ("erm", "twin", "third")] == [0.5, 0.25, 0.25]
    alone = resolve(path, overrides=["stages.third.like=null", "stages.third.module={name: classifier}"]).experiment
    assert alone.stages["third"].trainer.max_epochs == 3


def test_it_is_what_interpolations_give(write, text) -> None:
    blocks = "  twin: {verb: fit, module: '${stages.erm.module}', trainer: '${stages.erm.trainer}', data: {rho: 0.5}}\n"
    overrides = ["stages.erm.module.net.depth=5", "trainer.batch_size=8"]
    first = resolve(write(text + blocks), overrides=overrides)
    assert resolve(write(text + TWIN), overrides=overrides).experiment == first.experiment


def test_the_order_of_stages_does_not_matter(write, text) -> None:
    before = text.replace(
        "stages:\n",
        "stages:\n  block: {verb: fit, module: '${stages.third.module}'}\n  third: {verb: fit, like: twin}\n",
    )
    found = resolve(write(before + TWIN + "  block_test: {verb: test, weights: block, module: {nesterov: true}}\n"))
    stages = found.experiment.stages
    assert stages["third"].module == stages["block"].module == stages["erm"].module
    assert stages["block_test"].module.options.lr == 0.01
    assert stages["third"].trainer == stages["erm"].trainer
    assert stages["block"].trainer.max_epochs == 3


def test_scoring_weights_keeps_their_module(write, text) -> None:
    rest = "  other: {verb: fit, module: {name: classifier, lr: 1}}\n  t: {verb: test, weights: other, like: erm}\n"
    stages = resolve(write(text + rest)).experiment.stages
    assert stages["t"].module == stages["other"].module
    assert (stages["t"].data, stages["t"].trainer) == (stages["erm"].data, stages["erm"].trainer)


def test_a_stage_may_be_named_by_an_interpolation(write, text) -> None:
    path = write(text + "  twin: {verb: fit, like: '${paper}'}\n")
    assert resolve(path, overrides=["paper=erm"]).experiment.stages["twin"].trainer.max_steps == 7


def test_what_was_written_out_resolves_to_the_same(write, text) -> None:
    first = resolve(write(text + TWIN + RIVAL), overrides=["seed=3"])
    assert resolve(write(first.to_yaml(), "saved.yaml")).experiment == first.experiment


@pytest.mark.parametrize(
    "stage",
    [
        "{verb: fit, like: emr}",
        "{verb: fit, like: emr, module: {lr: 1}, trainer: {batch_size: 2}}",
        "{verb: fit, like: emr, module: {name: sampler, count: 2}, data: {rho: 0.1}}",
    ],
)
def test_an_unknown_stage_is_one_line(write, text, stage: str) -> None:
    rest = f"  twin: {stage}\n  third: {{verb: fit, like: twin}}\n  twin_test: {{verb: test, weights: twin}}\n"
    expected = ["x.yaml:14: stages.twin.like: unknown stage 'emr'; did you mean 'erm'?"]
    assert problems(write(text + rest)) == expected
    assert problems(write((text + rest).replace("trainer: {max_epochs: 3}\n", "trainer: {}\n"))) == expected


def test_a_stage_that_was_taken_out_is_unknown(write, text) -> None:
    found = problems(write(EXPERIMENT + TWIN), overrides=["stages.erm=null", "stages.erm_test=null"])
    assert found == ["x.yaml:11: stages.twin.like: unknown stage 'erm'"]


def test_like_has_to_be_a_name(write) -> None:
    found = problems(write(EXPERIMENT + "  twin: {verb: fit, like: [erm]}\n"))
    assert found == ["x.yaml:11: stages.twin.like: expected the name of a stage, got ['erm']"]


def test_rings_are_one_line_each(write) -> None:
    rest = (
        "  a: {verb: fit, like: b}\n  b: {verb: fit, like: c}\n  c: {verb: fit, like: a, module: {lr: 1}}\n"
        "  self: {verb: fit, like: self}\n  d: {verb: fit, like: a}\n"
    )
    assert problems(write(EXPERIMENT + rest)) == [
        "x.yaml:13: stages.c.like: stages take from each other: a -> b -> c -> a",
        "x.yaml:14: stages.self.like: stages take from each other: self -> self",
    ]


def test_a_mistake_in_what_is_taken_is_reported_once(write, text) -> None:
    wrong = text.replace("lr: 1e-2", "lr: fast")
    assert problems(write(wrong + TWIN)) == ["x.yaml:9: stages.erm.module.lr: expected a number, got 'fast'"]
    unknown = write(text + TWIN + RIVAL)
    expected = ["command line: stages.erm.module.name: unknown module 'clasifier'; did you mean 'classifier'?"]
    assert problems(unknown, overrides=["stages.erm.module.name=clasifier"]) == expected
