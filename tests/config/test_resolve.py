from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from lab import registry
from lab.config import experiments, find_experiment, outline, resolve
from lab.config.schema import ComponentChoice, Experiment
from lab.errors import ConfigError, UserError
from lab.registry import Plugin
from tests.config.fake_paper import EXPERIMENT, HERE, ClassifierConfig, Net, ToyConfig


def problems(*args, **kwargs) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        resolve(*args, **kwargs)
    return str(caught.value).splitlines()


def test_a_resolved_experiment_is_typed_and_complete(write) -> None:
    found = resolve(write()).experiment
    assert isinstance(found, Experiment)
    assert found.data == ComponentChoice("toy", ToyConfig(rho=0.95))
    assert found.stages["erm"].module == ComponentChoice("classifier", ClassifierConfig(lr=0.01))
    for stage in found.stages.values():
        assert None not in (stage.module, stage.data, stage.trainer, stage.seed)


def test_all_problems_come_at_once_with_file_line_and_key(write) -> None:
    path = write(
        """\
name: demo
sed: 3
data: {name: toi}
trainer: {max_epochs: soon, precison: 64, devices: 0}
stages:
  erm:
    verb: fit
    module:
      name: classifier
      lr: yes
      widths: [1, b]
      net: {depht: 3, act: tanh}
  weird:
    verb: fitt
    module: {name: clasifier}
  score: {verb: test, weights: emr}
  again: {verb: test, weights: score}
  sample:
    verb: predict
    module: {name: sampler}
    needs: {model: wierd}
claims:
- {text: one, left: score/accuracy, value: 1}
- {text: two, letf: score/accuracy, relation: ">"}
report: [accuracy]
"""
    )
    found = problems(path, overrides=["stages.erm.module.lrr=1", "kind=fake"])
    assert set(found) == {
        "x.yaml:2: sed: unknown key; did you mean 'seed' or 'seeds'?",
        "x.yaml:3: data.name: unknown data 'toi'; did you mean 'toy'?",
        "x.yaml:4: trainer.max_epochs: expected a whole number, got 'soon'",
        "x.yaml:4: trainer.precison: unknown key; did you mean 'precision' or 'recovery_seconds'?",
        "x.yaml:10: stages.erm.module.lr: expected a number, got 'yes'",
        "x.yaml:11: stages.erm.module.widths: expected a list of whole numbers, got [1, 'b']",
        "x.yaml:12: stages.erm.module.net.depht: unknown key; did you mean 'depth'?",
        "x.yaml:12: stages.erm.module.net.act: expected one of relu, gelu, got 'tanh'",
        "command line: stages.erm.module.lrr: unknown key; did you mean 'lr'?",
        "x.yaml:14: stages.weird.verb: expected one of fit, validate, test, predict, got 'fitt'",
        "x.yaml:15: stages.weird.module.name: unknown module 'clasifier'; did you mean 'classifier'?",
        "x.yaml:16: stages.score.weights: unknown stage 'emr'; did you mean 'erm'?",
        "x.yaml:17: stages.again.weights: stage 'score' is no fit, it has no weights; fit stages: erm",
        "x.yaml:20: stages.sample.module.count: has to be given",
        "x.yaml:21: stages.sample.needs.model: unknown stage 'wierd'; did you mean 'weird' or 'erm'?",
        "x.yaml:24: claims.1.letf: unknown key; did you mean 'left'?",
        "x.yaml:24: claims.1.left: has to be given",
        "x.yaml:24: claims.1.relation: expected one of >=, <=, ~=, got '>'",
        "x.yaml:25: report: expected a mapping, got ['accuracy']",
        "command line: kind: expected one of embedded, real, paper-scale, got 'fake'",
    }
    assert len(found) == len(set(found))
    lines = [int(line.split(":")[1]) for line in found if line.startswith("x.yaml")]
    assert lines == sorted(lines)
    assert all(line.startswith("command line") for line in found[len(lines) :])


def test_rules_of_the_dataclasses_are_checked_where_the_value_was_written(write) -> None:
    path = write(EXPERIMENT.replace("lr: 1e-2", "lr: -1\n      net: {depth: 0}"))
    assert problems(path) == ["x.yaml:10: stages.erm.module.net.depth: must be at least 1, is 0"]
    found = problems(path, overrides=["stages.erm.module.net.depth=1", "trainer.batch_size=9", "trainer.devices=2"])
    assert found == [
        "x.yaml:9: stages.erm.module.lr: must be positive, is -1",
        "command line: trainer.batch_size: 9 can't be divided over 2 parts (devices x nodes x accumulate)",
    ]
    path = write(EXPERIMENT.replace("lr: 1e-2", "label: relu"))
    assert problems(path) == ["x.yaml:7: stages.erm.module.net.act: is the label"]


def test_rules_reach_nested_dataclasses_in_containers(write) -> None:
    path = write(EXPERIMENT.replace("lr: 1e-2", "heads:\n        a: {depth: 0}\n        b: {depth: 2}"))
    assert problems(path) == ["x.yaml:10: stages.erm.module.heads.a.depth: must be at least 1, is 0"]
    good = resolve(path, overrides=["stages.erm.module.heads.a.depth=1", "stages.erm.module.spare={depth: 4}"])
    module = good.experiment.stages["erm"].module.options
    assert module.heads == {"a": Net(1), "b": Net(2)}
    assert module.spare == Net(4)
    assert problems(path, overrides=["stages.erm.module.heads=[1]"]) == [
        "command line: stages.erm.module.heads.0: expected a mapping, got 1",
        "command line: stages.erm.module.heads: expected a mapping to mappings, got [1]",
    ]


def test_a_fit_needs_an_end(write) -> None:
    path = write(EXPERIMENT.replace("trainer: {max_epochs: 3}\n", ""))
    message = "a fit needs max_epochs or max_steps, here or in the experiment's `trainer`"
    assert problems(path) == [f"x.yaml:4: stages.erm.trainer.max_epochs: {message}"]
    only = resolve(path, overrides=["stages.erm.trainer.max_steps=3"]).experiment
    assert only.stages["erm_test"].trainer.max_epochs is None


def test_numbers_have_to_be_finite_unless_the_default_is_not(write) -> None:
    assert problems(write(), overrides=["stages.erm.module.lr=.nan", "stages.erm.module.decays=[1, .inf]"]) == [
        "command line: stages.erm.module.lr: expected a number that is finite, got nan",
        "command line: stages.erm.module.decays: expected a list of numbers that is finite, got [1, inf]",
    ]
    found = resolve(write(), overrides=["stages.erm.module.limit=-.inf"])
    assert found.experiment.stages["erm"].module.options.limit == -math.inf
    assert resolve(write()).experiment.stages["erm"].module.options.limit == math.inf


def test_missing_parts(write) -> None:
    assert problems(write("")) == [
        "x.yaml:1: name: has to be given",
        "x.yaml:1: data: has to be given",
        "x.yaml:1: stages: has to be given",
    ]
    path = write("name: a b\ndata: grid\nstages: {}\ntrainer: 3\n")
    assert problems(path) == [
        "x.yaml:1: name: 'a b' can't name a folder: letters, digits, - and _ only",
        "x.yaml:2: data: expected a mapping with the name of a data component and its options, got 'grid'",
        "x.yaml:3: stages: an experiment needs at least one stage",
        "x.yaml:4: trainer: expected a mapping, got 3",
    ]
    assert problems(write("name: a\ndata: {rho: 1}\nstages: [x]\n")) == [
        "x.yaml:2: data.name: has to be given: the name of a data component",
        "x.yaml:3: stages.0: expected a mapping, got 'x'",
        "x.yaml:3: stages: expected a mapping to mappings, got ['x']",
    ]
    required = write(EXPERIMENT.replace("lr: 1e-2", "lr: ???"))
    assert problems(required) == ["x.yaml:9: stages.erm.module.lr: has to be given"]


def test_a_stage_without_a_verb_is_taken_for_a_misspelt_one(write) -> None:
    assert problems(write(), overrides=["stages.emr.trainer.max_steps=3", "stages.emr.foo=1"]) == [
        "command line: stages.emr: no such stage; did you mean 'erm'? (a new one needs a `verb`)"
    ]


def test_scoring_needs_weights_or_needs(write) -> None:
    path = write(EXPERIMENT.replace("weights: erm}", "module: {name: classifier}}"))
    assert problems(path) == [
        "x.yaml:10: stages.erm_test: needs `weights`, else random ones would be scored; fit stages: erm"
    ]
    path = write(EXPERIMENT.replace("weights: erm}", "module: {name: classifier}, needs: {a: erm}}"))
    assert resolve(path).experiment.stages["erm_test"].needs == {"a": "erm"}
    predict = write(EXPERIMENT.replace("verb: test, weights: erm", "verb: predict"))
    assert problems(predict) == [
        "x.yaml:10: stages.erm_test.module: has to be given, or the `weights` of a fit",
    ]


def test_a_role_may_not_be_called_weights(write) -> None:
    path = write(EXPERIMENT.replace("weights: erm}", "weights: erm, needs: {weights: erm}}"))
    message = "the role 'weights' is taken by the stage's own `weights`; choose another"
    assert problems(path) == [f"x.yaml:10: stages.erm_test.needs.weights: {message}"]


def test_every_cycle_is_named(write) -> None:
    text = EXPERIMENT + (
        "  a: {verb: fit, module: {name: classifier}, needs: {x: c}}\n"
        "  b: {verb: predict, weights: a}\n"
        "  c: {verb: predict, weights: a, needs: {x: b}}\n"
        "  d: {verb: fit, module: {name: classifier}, needs: {self: d}}\n"
    )
    found = problems(write(text))
    assert len(found) == 2 or len(found) == 3
    assert all("stages wait for each other: " in line for line in found)
    assert "x.yaml:14: stages.d: stages wait for each other: d needs d" in found
    rings = [line for line in found if "stages.d" not in line]
    for line in rings:
        ring = line.rpartition(": ")[2].split(" needs ")
        assert ring[0] == ring[-1]
        assert set(ring) <= {"a", "b", "c"}
        assert set(pairwise(ring)) <= {("a", "c"), ("c", "a"), ("c", "b"), ("b", "a")}


def test_bad_names(write) -> None:
    path = write(EXPERIMENT.replace("erm_test:", "a/b:") + "predict: {model: erm, bias: ERM}\n")
    assert problems(path) == [
        "x.yaml:10: stages.a/b: 'a/b' can't name a folder: letters, digits, - and _ only",
        "x.yaml:11: predict.bias: unknown stage 'ERM'; known: a/b, erm",
    ]


def test_interpolations_are_resolved_at_the_end(write, monkeypatch) -> None:
    monkeypatch.setenv("DEMO_LABEL", "from-env")
    text = EXPERIMENT.replace("lr: 1e-2", "lr: 1e-2\n      label: ${oc.env:DEMO_LABEL}-${seed}") + (
        "  twin:\n    verb: fit\n    module:\n      name: classifier\n      lr: ${stages.erm.module.lr}\n"
        "      steps: ${.net.depth}\n      decays: ['${seed}', \"${stages.erm.module.dropout}\"]\n"
        "      widths: ${stages.erm.module.widths}\n"
        "    weights: ${predict.model}\n"
        "description: seed ${seed}, ${stages.erm.trainer.batch_size} rows\n"
        "predict: {model: erm}\n"
    )
    found = resolve(
        write(text),
        overrides=[
            "seed=7",
            "stages.erm.module.lr=0.125",
            "stages.erm.module.dropout=0.5",
            "stages.twin.module.net.depth=3",
            "trainer.batch_size=${stages.erm.module.size.0}",
        ],
    ).experiment
    erm, twin = found.stages["erm"].module.options, found.stages["twin"].module.options
    assert erm.label == "from-env-7"
    assert (twin.lr, twin.steps, twin.decays, twin.widths) == (0.125, 3, [7.0, 0.5], (8, 16))
    assert found.stages["twin"].weights == "erm"
    assert found.description == "seed 7, 4 rows"
    assert found.stages["erm_test"].trainer.batch_size == 4


def test_component_names_may_be_interpolated(write) -> None:
    path = write(EXPERIMENT.replace("name: classifier", "name: ${paper}"))
    assert resolve(path, overrides=["paper=classifier"]).experiment.stages["erm_test"].module.name == "classifier"


def test_interpolations_that_lead_nowhere(write) -> None:
    overrides = [
        "paper=${sead}",
        "description=${seed",
        "seed=${name}",
        "kind=${foo:1}",
        "trainer.log_every=${oc.env:NO_X}",
    ]
    found = problems(write(), overrides=overrides)
    assert "command line: paper: can't resolve '${sead}': Interpolation key 'sead' not found" in found
    assert "command line: seed: expected a whole number, got 'demo'" in found
    assert any(line.startswith("command line: description: can't resolve '${seed': ") for line in found)
    assert any("Environment variable 'NO_X' not found" in line for line in found)
    assert len(found) == 5
    ring = problems(write(), overrides=["paper=${description}", "description=${paper}"])
    assert ring == [
        f"command line: {key}: can't resolve '${{{other}}}': Recursive interpolation detected"
        for key, other in (("paper", "description"), ("description", "paper"))
    ]


FULL = (
    EXPERIMENT.replace("lr: 1e-2", "lr: 1e-2\n      label: 'no'\n      heads: {a: {depth: 4}}\n      tags: {x: 1}")
    + """\
  off: {verb: fit, module: {name: classifier}, enabled: false}
  sample: {verb: predict, module: {name: sampler, count: 3}, needs: {model: erm}, data: {name: grid}, seed: 8}
description: "10:30"
paper: "cost \\\\${x}"
claims:
- {text: "yes", left: erm_test/b, value: 1e-3}
- text: |
    two
    lines: [here]
  left: off/c
  value: 0
report: {headline: [accuracy, "1.0", worst]}
predict: {model: erm}
profiles: {smoke: {trainer: {max_steps: 2}}}
"""
)


@pytest.mark.parametrize("origins", [False, True])
def test_what_is_printed_resolves_to_the_same_experiment(write, origins: bool) -> None:
    first = resolve(write(FULL), profiles=["smoke"], overrides=["seed=3"])
    text = first.to_yaml(origins=origins)
    saved = write(text, "runs/1/config.yaml")
    again = resolve(saved)
    assert again.experiment == first.experiment
    assert again.plain() == first.plain()
    assert again.to_yaml() == first.to_yaml()
    assert first.experiment.paper == "cost ${x}"
    assert "off" not in first.experiment.stages
    assert "profiles" not in first.plain()


def test_plain_is_json_and_covered_by_origins(write) -> None:
    found = resolve(write(FULL), profiles=["smoke"], overrides=["seed=3"])
    plain = found.plain()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["stages"]["erm"]["module"]["name"] == "classifier"
    assert plain["stages"]["erm"]["module"]["widths"] == [8, 16]
    assert list(plain)[:3] == [field.name for field in dataclasses.fields(Experiment)][:3]

    def leaves(value, key=""):
        if isinstance(value, dict) and value:
            for name, item in value.items():
                yield from leaves(item, f"{key}.{name}" if key else name)
        elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
            for index, item in enumerate(value):
                yield from leaves(item, f"{key}.{index}")
        else:
            yield key

    assert list(found.origins) == list(leaves(plain))
    shown = {key: str(origin) for key, origin in found.origins.items()}
    assert shown["seed"] == shown["stages.erm.seed"] == "command line"
    assert shown["stages.sample.seed"] == "x.yaml:15"
    assert shown["trainer.max_steps"] == "profile smoke (x.yaml:27)"
    assert shown["stages.erm_test.module.heads.a.depth"] == "x.yaml:11"
    assert shown["stages.erm.module.heads.a.act"] == "default"
    assert shown["claims.1.left"] == "x.yaml:23"
    assert shown["report.headline"] == "x.yaml:25"
    assert found.source == Path("x.yaml")


def test_experiments_are_found_by_path_and_by_name(write, tmp_path, monkeypatch) -> None:
    shipped = tmp_path / "package"
    write(EXPERIMENT, "package/ours.yaml")
    write(EXPERIMENT, "package/mine.yaml")
    write(EXPERIMENT, "package/bases/hidden.yaml")
    mine = write(EXPERIMENT, "experiments/mine.yaml")
    plugin = Plugin("other", (), experiments=shipped)
    monkeypatch.setattr(registry, "BUILTIN", (f"{HERE}:PLUGIN", f"{HERE}:OTHER"))
    monkeypatch.setattr("tests.config.fake_paper.OTHER", plugin, raising=False)
    registry.plugins.cache_clear()
    known = experiments()
    assert known["ours"] == shipped / "ours.yaml"
    assert known["mine"] == mine
    assert "hidden" not in known
    assert find_experiment("mine") == mine
    assert find_experiment(str(mine)) == mine
    assert resolve("ours").experiment.name == "demo"
    with pytest.raises(UserError, match="no experiment 'ourz'; did you mean 'ours'"):
        find_experiment("ourz")
    with pytest.raises(UserError, match=r"no experiment file experiments/min\.yaml; did you mean 'mine\.yaml'\?"):
        find_experiment("experiments/min.yaml")


def test_an_outline_does_not_look_at_the_stages(write) -> None:
    write(EXPERIMENT + "  bad: {verb: nothing}\n", "base.yaml")
    found = outline(write("extends: base.yaml\nkind: real\ndescription: text\n"))
    assert (found.name, found.kind, found.description) == ("demo", "real", "text")
    assert found.data == ComponentChoice("toy", ToyConfig(rho=0.95))
    with pytest.raises(ConfigError, match="data: has to be given"):
        outline(write("name: x\n"))


def test_the_config_layer_imports_neither_torch_nor_omegaconf_nor_numpy() -> None:
    code = "import sys, lab.config; print({'torch', 'lightning', 'numpy', 'omegaconf'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
