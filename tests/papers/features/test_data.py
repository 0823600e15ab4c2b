"""Rows of feature stages: read as they are asked for, and refused where they don't belong together."""

from __future__ import annotations

import pytest
import torch

from lab.data.module import Loading
from lab.errors import UserError
from lab.papers.features.config import FeatureRowsConfig
from lab.papers.features.data import FeatureData
from lab.stages.artefact import Artefact

from ..top_tuning.conftest import SIZES, stages, write

__all__ = ["stages", "write"]


def data(inputs: dict[str, Artefact]) -> FeatureData:
    return FeatureData(FeatureRowsConfig(), Loading(batch_size=7, eval_batch_size=40), inputs)


def test_batches_are_the_rows_of_the_tables(stages) -> None:
    made = stages(3, torch.float16)
    rows = data(made)
    assert rows.facts.sizes == SIZES
    batch = rows.rows("val")[[5, 0, 5]]
    table = made["val"].table()
    assert batch.features.dtype == torch.float32
    assert torch.equal(batch.features, table["features"][[5, 0, 5]].float())
    assert batch.label.tolist() == table["label"][[5, 0, 5]].tolist()
    assert batch.index.tolist() == [5, 0, 5] and batch.group.tolist() == [-1] * 3
    found = torch.cat([part.index for part in rows.eval_loader("test")])
    assert found.tolist() == list(range(SIZES["test"]))


def test_a_fit_in_one_step_has_one_batch(stages) -> None:
    rows = data(stages())
    rows.in_one_step = True
    assert [part.index.tolist() for part in rows.train_dataloader()] == [[0]]


def test_no_features_at_all() -> None:
    with pytest.raises(UserError, match=r"give `needs: \{train: …, val: …, test: …\}`"):
        data({})


def test_a_split_that_no_stage_was_named_for(stages) -> None:
    rows = data({"test": stages()["test"]})
    assert not rows.has_split("val")
    with pytest.raises(UserError, match="there are none of split 'val'"):
        rows.rows("val")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"module": {"name": "classifier"}}, "names a stage of 'classifier', not of 'features'"),
        ({"module": {"name": "features", "version": 1, "options": {"a": 1}}}, "another backbone or preprocessing"),
        ({"inputs": {"model": "abc"}}, "another backbone or preprocessing"),
        ({"split": "test"}, "names features of test images"),
    ],
)
def test_roles_that_do_not_belong_together(stages, write, changes, message) -> None:
    made = stages()
    table = made["val"].table()
    split = changes.pop("split", "val")
    other = write(split, table["features"], table["label"], 3, name="other", **changes)
    with pytest.raises(UserError, match=message):
        data({**made, "val": other})


def test_roles_of_other_classes(stages, write) -> None:
    made = stages()
    table = made["val"].table()
    with pytest.raises(UserError, match="of other classes"):
        data({**made, "val": write("val", table["features"], table["label"], 4, name="other")})
