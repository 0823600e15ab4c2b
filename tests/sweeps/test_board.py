"""The graph of distinct stages, on made-up jobs."""

from __future__ import annotations

import pytest

from lab.config.schema import StageConfig, TrainerConfig
from lab.stages.graph import Node
from lab.sweeps.board import Board
from lab.sweeps.plan import Job
from lab.sweeps.planner import Planned


def job(name: str, **stages: str) -> Planned:
    """`job("a", early="k1", late="k2<k1")`: each stage with its key and the keys that it reads."""
    nodes, keys = [], {}
    for stage, text in stages.items():
        key, _, inputs = text.partition("<")
        read = {other: other for other in inputs.split("+") if other}
        nodes.append(Node(stage, StageConfig("fit", trainer=TrainerConfig()), {}, key, False, {"inputs": read}))
        keys[stage] = key
    return Planned(Job(name, "file", name, {}, 0, keys), nodes)


def drain(board: Board) -> list[str]:
    """Keys in the order in which one slot computes them."""
    order = []
    while task := board.next():
        order.append(task.key)
        board.finish(task.key)
    return order


@pytest.fixture
def board() -> Board:
    made = Board(lambda key: key == "cached")
    made.add(
        [
            job("a", early="e", late="a2<e", last="a3<a2"),
            job("b", early="e", late="b2<e"),
            job("c", first="cached", late="c2<cached"),
        ]
    )
    return made


def names(board: Board) -> list[str]:
    return [planned.job.id for planned in board.complete]


def test_a_shared_stage_is_computed_once_and_first(board):
    assert drain(board) == ["e", "a2", "a3", "b2", "c2"]
    assert names(board) == ["a", "b", "c"]
    assert board.idle and not board.left()


def test_what_waits_for_a_running_stage_does_not_start(board):
    assert board.next().key == "e"
    assert board.next().key == "c2"
    assert board.next() is None
    assert not board.idle
    board.finish("e")
    assert {board.next().key, board.next().key} == {"a2", "b2"}


def test_a_failure_gives_up_the_jobs_that_need_it_and_no_others(board):
    board.next()
    board.fail("e")
    assert board.given_up == {"a", "b"}
    assert drain(board) == ["c2"]
    assert names(board) == ["c"] and board.idle


def test_a_stage_that_is_needed_elsewhere_survives_a_failure(board):
    assert board.next().key == "e"
    board.finish("e")
    assert board.next().key == "a2"
    board.fail("a2")
    assert board.given_up == {"a"}
    assert drain(board) == ["b2", "c2"]


def test_pruning_names_the_stages_that_nobody_wants(board):
    board.next()
    assert board.prune("a") == []  # b still wants e
    assert board.prune("b") == ["e"]


def test_a_given_back_stage_is_the_next_again(board):
    first = board.next()
    board.give_back(first.key)
    assert board.next() == first


def test_jobs_may_come_later_and_twice(board):
    drain(board)
    board.complete.clear()
    board.closed |= {"a", "b", "c"}
    board.add([job("d", early="e", late="d2<e"), job("a", early="e", late="a2<e", last="a3<a2")])
    assert names(board) == ["a"]
    assert drain(board) == ["d2"]


def test_a_job_that_comes_after_its_stage_failed_is_given_up(board):
    board.next()
    board.fail("e")
    board.add([job("late", early="e")])
    assert "late" in board.given_up


def test_everything_cached_is_complete_at_once():
    board = Board(lambda key: True)
    board.add([job("a", one="x", two="y<x")])
    assert names(board) == ["a"] and board.idle and board.next() is None
