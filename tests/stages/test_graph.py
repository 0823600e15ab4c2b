from __future__ import annotations

from dataclasses import replace

import pytest

from lab import registry
from lab.config import resolve
from lab.config.schema import StageConfig
from lab.errors import DataError
from lab.stages.graph import hash_of, needed_for, ordered, plan


def keys(*overrides: str, config: str = "toy_line") -> dict[str, str | None]:
    return {node.name: node.key for node in plan(resolve(config, overrides=overrides).experiment)}


@pytest.fixture(scope="module")
def shipped() -> dict[str, str | None]:
    return keys()


def test_a_plan(shipped) -> None:
    nodes = {node.name: node for node in plan(resolve("toy_line").experiment)}
    assert list(nodes) == ["first", "table", "second", "second_test"]
    assert nodes["table"].inputs == {"weights": "first"}
    assert nodes["table"].material["inputs"] == {"weights": shipped["first"]}
    assert not any(node.cached for node in nodes.values())
    assert len(set(shipped.values())) == 4
    assert all(len(str(key)) == 20 for key in shipped.values())


@pytest.mark.parametrize(
    "override",
    [
        "stages.first.title=Another",
        "trainer.recovery_seconds=7",
        "trainer.log_every=3",
        "trainer.devices=2",
        "trainer.accumulate=4",
        "trainer.workers=1",
        "trainer.compile=true",
        "trainer.accelerator=cpu",
        "trainer.eval_batch_size=5",
        "runs_dir=elsewhere",
        "loggers=[mlflow]",
        "seeds.data=0",
        "description=another",
        "report.headline=[]",
        "stages.second_test.trainer.max_epochs=9",
    ],
)
def test_what_changes_no_key(shipped, override) -> None:
    assert keys(override) == shipped


@pytest.mark.parametrize(
    ("override", "changed"),
    [
        ("stages.first.module.lr=0.01", {"first", "table", "second", "second_test"}),
        ("stages.second.module.lr=0.02", {"second", "second_test"}),
        ("stages.second.trainer.max_epochs=9", {"second", "second_test"}),
        ("stages.table.split=val", {"table"}),
        ("stages.table.trainer.precision=bf16-mixed", {"table"}),
        ("stages.second.seed=4", {"second", "second_test"}),
        ("seed=1", {"first", "table", "second", "second_test"}),
        ("seeds.sampling=1", {"first", "table", "second", "second_test"}),
        ("data.rows=60", {"first", "table", "second", "second_test"}),
        ("trainer.batch_size=16", {"first", "table", "second", "second_test"}),
    ],
)
def test_what_changes_which_keys(shipped, override, changed) -> None:
    found = keys(override)
    assert {name for name, key in found.items() if key != shipped[name]} == changed


def test_golden(shipped) -> None:
    """Keys of artefacts that exist on somebody's disk: options that are added later must not change them."""
    assert shipped == {
        "first": "b404258a1d41182b8fcd",
        "table": "10a5a502a62ff4e9e53b",
        "second": "0731f0b00a76c3567125",
        "second_test": "66d518c4db7eb33032a5",
    }
    assert keys("seed=3")["first"] == "815efc07e7f98e4764c1"


def test_a_pinned_axis_is_part_of_a_key_where_it_is_not_the_seed() -> None:
    """Two repetitions that differ in all but the order of rows; the one whose seed is the pinned one is an old one."""
    first = {n: plan(resolve("toy_line", overrides=[f"seed={n}", "seeds.data=1"]).experiment)[0] for n in (0, 1, 2)}
    assert first[0].material["seeds"] == first[2].material["seeds"] == {"data": 1}
    assert first[0].key != first[2].key
    assert first[1].key == keys("seed=1")["first"]


def test_the_version_of_a_component_counts(shipped, monkeypatch) -> None:
    component = registry.get("module", "toy/linear")
    monkeypatch.setitem(registry._table(), ("module", "toy/linear"), replace(component, version=2))
    assert not set(keys().values()) & set(shipped.values())


def test_the_order() -> None:
    def stage(*needs: str, weights: str | None = None) -> StageConfig:
        return StageConfig("predict", weights=weights, needs={need: need for need in needs})

    assert ordered({"c": stage("b"), "a": stage(), "b": stage(weights="a"), "d": stage()}) == ["a", "b", "c", "d"]
    assert ordered({"d": stage(), "c": stage("a"), "a": stage(), "b": stage()}) == ["d", "a", "c", "b"]


def test_needed_for() -> None:
    nodes = plan(resolve("toy_line").experiment)
    assert [node.name for node in needed_for(nodes, ["second_test"])] == ["first", "second", "second_test"]
    assert [node.name for node in needed_for(nodes, [])] == []


def test_a_hash_needs_numbers() -> None:
    assert hash_of({"a": 1, "b": 2}) == hash_of({"b": 2, "a": 1}) != hash_of({"a": 1, "b": 3})
    with pytest.raises(ValueError):
        hash_of({"a": float("nan")})


def test_data_that_is_not_there(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("LAB_DATA", str(tmp_path))
    path = tmp_path / "x.yaml"
    path.write_text(
        "name: x\ndata: {name: waterbirds}\ntrainer: {max_epochs: 1}\n"
        "stages:\n  fit: {verb: fit, module: {name: classifier}}\n"
        "  toy: {verb: fit, module: {name: toy/linear}, data: {name: toy/plane}}\n"
    )
    experiment = resolve(path).experiment
    found = {node.name: node.key for node in plan(experiment)}
    assert found["fit"] is None
    assert found["toy"] is not None
    with pytest.raises(DataError, match="waterbirds"):
        plan(experiment, prepare=True)
