from __future__ import annotations

import pytest

from lab.config import resolve
from lab.errors import ConfigError
from tests.config.fake_paper import EXPERIMENT


def problems(*args, **kwargs) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        resolve(*args, **kwargs)
    return str(caught.value).splitlines()


def options(resolved, stage: str = "erm"):
    return resolved.experiment.stages[stage].module.options


def test_layers_lie_over_each_other_in_order(write) -> None:
    write(
        "name: base\nseed: 1\npaper: low\ndescription: low\nkind: real\n" + EXPERIMENT.split("\n", 1)[1], "b/one.yaml"
    )
    write("paper: two\nseed: 2\n", "b/two.yaml")
    write("seed: 5\n", "profiles/fast.yaml")
    path = write(
        "extends: [b/one.yaml, b/two.yaml]\nname: top\nseed: 3\n"
        "profiles:\n  fast: {seed: 6}\n  slow: {kind: paper-scale}\n"
    )
    found = resolve(path).experiment
    assert (found.name, found.seed, found.paper, found.description, found.kind) == ("top", 3, "two", "low", "real")
    assert resolve(path, profiles=["fast"]).experiment.seed == 6
    both = resolve(path, profiles=["fast", "slow"], overrides=["seed=7"])
    assert (both.experiment.seed, both.experiment.kind) == (7, "paper-scale")
    assert both.profiles == ("fast", "slow")
    assert str(both.origins["seed"]) == "command line"
    assert str(both.origins["kind"]) == "profile slow (x.yaml:6)"
    assert str(both.origins["paper"]) == "b/two.yaml:1"
    assert str(both.origins["stages.erm.module.lr"]) == "b/one.yaml:13"
    assert str(both.origins["stages.erm.module.label"]) == "default"
    assert str(both.origins["stages.erm.trainer.max_epochs"]) == "b/one.yaml:7"


def test_a_profile_may_be_a_file_a_mapping_or_both(write) -> None:
    write("seed: 5\ntrainer: {batch_size: 8}\n", "profiles/both.yaml")
    write("extends: both.yaml\nseed: 9\n", "profiles/file.yaml")
    path = write(EXPERIMENT + "profiles: {both: {seed: 6}}\n")
    both = resolve(path, profiles=["both"])
    assert (both.experiment.seed, both.experiment.trainer.batch_size) == (6, 8)
    assert str(both.origins["trainer.batch_size"]) == "profile both (profiles/both.yaml:2)"
    file = resolve(path, profiles=["file"]).experiment
    assert (file.seed, file.trainer.batch_size) == (9, 8)


def test_profiles_of_bases_lie_below_those_of_the_file(write) -> None:
    write(EXPERIMENT + "profiles: {p: {seed: 1, kind: real}}\n", "base.yaml")
    path = write("extends: base.yaml\nprofiles: {p: {seed: 2}}\n")
    found = resolve(path, profiles=["p"]).experiment
    assert (found.seed, found.kind) == (2, "real")


def test_unknown_profile(write) -> None:
    path = write(EXPERIMENT + "profiles: {smoke: {seed: 1}}\n")
    assert problems(path, profiles=["smok"]) == [
        "command line: --profile: unknown profile 'smok'; did you mean 'smoke'?"
    ]
    assert problems(write(), profiles=["smoke"]) == [
        "command line: --profile: unknown profile 'smoke'; x.yaml has no profiles"
    ]


def test_extends_that_leads_nowhere_or_in_a_ring(write) -> None:
    write("seed: 1\n", "bases/toys.yaml")
    assert problems(write("a: 1\nextends: bases/toy.yaml\n")) == [
        "x.yaml:2: extends: no such file bases/toy.yaml; did you mean 'toys.yaml'?"
    ]
    write("extends: x.yaml\n", "y.yaml")
    assert problems(write("extends: y.yaml\n")) == [
        "y.yaml:1: extends: the files extend each other: x.yaml -> y.yaml -> x.yaml"
    ]
    assert problems(write("extends: {a: 1}\n")) == ["x.yaml:1: extends: expected a file or a list of files"]


def test_malformed_profiles(write) -> None:
    expected = "expected a mapping of names to what they override"
    assert problems(write("profiles: [a]\n")) == [f"x.yaml:1: profiles: {expected}"]
    assert problems(write("profiles:\n  a: 1\n")) == [f"x.yaml:2: profiles.a: {expected}"]
    write("profiles: {}\n", "profiles/p.yaml")
    assert problems(write(), profiles=["p"])[0].startswith("profile p (profiles/p.yaml:1): profiles: unknown key")


def test_lists_replace_and_null_clears(write) -> None:
    path = write(EXPERIMENT.replace("lr: 1e-2", "widths: [1, 2, 3]\n      dropout: 0.5"))
    found = resolve(path, overrides=["stages.erm.module.widths=[9]", "stages.erm.module.dropout=null"])
    assert options(found).widths == (9,)
    assert options(found).dropout is None
    assert list(resolve(path, overrides=["stages.erm_test=null"]).experiment.stages) == ["erm"]
    assert problems(path, overrides=["stages.erm=null"]) == ["x.yaml:11: stages.erm_test.weights: unknown stage 'erm'"]


def test_another_component_drops_the_options_of_the_one_before(write) -> None:
    path = write()
    found = resolve(path, overrides=["stages.erm.module.count=3", "stages.erm.module.name=sampler"])
    assert found.plain()["stages"]["erm"]["module"] == {"name": "sampler", "count": 3, "seed": 5}
    found = resolve(path, overrides=["data={name: grid}"])
    assert found.plain()["data"] == {"name": "grid", "per_class": 10}
    same = resolve(path, overrides=["stages.erm.module.name=classifier"])
    assert options(same).lr == 0.01


def test_epochs_and_steps_displace_each_other(write) -> None:
    path = write()
    trainer = resolve(path, overrides=["trainer.max_steps=5"]).experiment.stages["erm"].trainer
    assert (trainer.max_epochs, trainer.max_steps) == (None, 5)
    found = resolve(path, overrides=["stages.erm.trainer.max_steps=5", "stages.erm.trainer.max_epochs=null"]).experiment
    assert (found.stages["erm"].trainer.max_epochs, found.stages["erm"].trainer.max_steps) == (None, 5)
    assert found.stages["erm_test"].trainer.max_epochs == 3
    kept = resolve(path, overrides=["trainer.max_steps=null"]).experiment.trainer
    assert kept.max_epochs == 3
    both = problems(path, overrides=["trainer.max_steps=5", "trainer.max_epochs=2"])
    assert both == ["command line: trainer.max_epochs: give one of max_epochs and max_steps, not both"]


def test_stages_inherit_trainer_data_and_seed(write) -> None:
    text = EXPERIMENT + (
        "  odd: {verb: predict, weights: erm, data: {rho: 0.5}, trainer: {batch_size: 4}, seed: 9}\n"
        "  same: {verb: validate, weights: erm, data: {name: toy, hour: 10:30}}\n"
        "  other: {verb: predict, weights: erm, data: {name: grid}, split: val}\n"
    )
    found = resolve(write(text), overrides=["seed=4"]).experiment.stages
    assert (found["erm"].seed, found["odd"].seed) == (4, 9)
    assert found["erm"].data.options.rho == 0.95
    assert (found["odd"].data.name, found["odd"].data.options.rho) == ("toy", 0.5)
    assert (found["same"].data.options.rho, found["same"].data.options.hour) == (0.95, "10:30")
    assert found["other"].data.options.per_class == 10
    assert (found["odd"].trainer.batch_size, found["odd"].trainer.max_epochs) == (4, 3)
    splits = {name: stage.split for name, stage in found.items()}
    assert splits == {"erm": None, "erm_test": "test", "odd": "train", "same": "val", "other": "val"}


def test_a_stage_takes_the_module_of_its_weights(write) -> None:
    text = EXPERIMENT + (
        "  more: {verb: predict, weights: erm, module: {nesterov: true}}\n"
        "  fresh: {verb: predict, weights: erm, module: {name: sampler, count: 2}}\n"
    )
    found = resolve(write(text), overrides=["stages.erm.module.lr=0.5"])
    assert options(found, "erm_test") == options(found, "erm")
    assert (options(found, "more").lr, options(found, "more").nesterov) == (0.5, True)
    assert options(found, "fresh").count == 2
    warm = "  warm: {verb: fit, weights: erm}\n"
    assert problems(write(EXPERIMENT + warm)) == ["x.yaml:11: stages.warm.module: has to be given in a fit"]


def test_disabled_stages_fall_with_all_that_need_them(write) -> None:
    text = EXPERIMENT + (
        "  signal: {verb: predict, weights: erm}\n"
        "  second: {verb: fit, module: {name: classifier}, needs: {signal: signal}}\n"
        "  second_test: {verb: test, weights: second}\n"
        "  third: {verb: fit, module: {name: classifier}}\n"
        "predict: {model: second, bias: third}\n"
    )
    path = write(text)
    assert list(resolve(path, overrides=["stages.signal.enabled=false"]).experiment.stages) == [
        "erm",
        "erm_test",
        "third",
    ]
    assert resolve(path, overrides=["stages.signal.enabled=false"]).experiment.predict is None
    third = resolve(path, overrides=["stages.third.enabled=false"]).experiment.predict
    assert (third.model, third.bias) == ("second", None)


def test_every_stage_off(write) -> None:
    from lab.errors import UserError

    with pytest.raises(UserError, match=r"x\.yaml: every stage is off"):
        resolve(write(), overrides=["stages.erm.enabled=false"])


def test_a_whole_block_may_be_an_interpolation(write) -> None:
    text = EXPERIMENT + (
        "  twin:\n    verb: fit\n    module: ${stages.erm.module}\n    trainer: ${stages.erm.trainer}\n"
        "  twin_test: {verb: test, weights: twin}\n"
    )
    overrides = ["stages.erm.module.lr=0.25", "stages.erm.trainer.max_steps=7"]
    found = resolve(write(text), overrides=overrides)
    stages = found.experiment.stages
    assert stages["twin"].module == stages["erm"].module == stages["twin_test"].module
    assert stages["twin"].module.options is not stages["erm"].module.options
    assert stages["twin"].trainer.max_steps == 7
    assert str(found.origins["stages.twin.module.lr"]) == "command line"


@pytest.mark.parametrize("item", ["seed", "=3", "a..b=1", ".a=1", "a b =1"])
def test_overrides_need_a_key_and_a_value(write, item: str) -> None:
    assert problems(write(), overrides=[item]) == [f"command line: expected key=value, got '{item}'"]


def test_all_malformed_overrides_are_reported(write) -> None:
    found = problems(write(), overrides=["seed", "trainer.max_steps=[1", "seed=!x 3"])
    assert found[0] == "command line: expected key=value, got 'seed'"
    assert found[1].startswith("command line: trainer.max_steps: expected")
    assert found[2].startswith("command line: seed: tag !x")


def test_values_on_the_command_line_are_yaml(write) -> None:
    found = resolve(
        write(),
        overrides=[
            "description='a: b'",
            "stages.erm.module.label=no",
            "stages.erm.module.widths=[1, 2]",
            "stages.erm.module.tags={a: 1}",
            "stages.erm.module.tags.b=2",
            "stages.erm.module.net.depth=3",
            "stages.erm.module.decays=[]",
            "paper=x=y",
            "seed=1",
            "seed=2",
        ],
    )
    made = options(found)
    assert found.experiment.description == "a: b"
    assert (made.label, made.widths, made.tags, made.net.depth) == ("no", (1, 2), {"a": 1, "b": 2}, 3)
    assert (found.experiment.paper, found.experiment.seed) == ("x=y", 2)
