from __future__ import annotations

import itertools
import os

import pytest

from lab.config.schema import TrainerConfig
from lab.sweeps import machine
from lab.sweeps.machine import slots


@pytest.fixture
def cores(monkeypatch):
    def have(n: int, gpus: int = 0) -> None:
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(n)), raising=False)
        monkeypatch.setattr(machine, "gpus", lambda: [str(i) for i in range(gpus)])

    return have


@pytest.mark.parametrize("gpus", [0, 1, 4])
@pytest.mark.parametrize("n", [1, 2, 7, 64])
def test_never_more_than_there_is(cores, n, gpus):
    cores(n, gpus)
    for jobs, threads in itertools.product([None, 1, 2, 3, 100], [None, 1, 4]):
        made = slots([TrainerConfig(threads=threads)], jobs)
        assert all(slot.threads >= 1 for slot in made)
        if gpus:
            assert len(made) == min(gpus, jobs or gpus) == len({slot.gpu for slot in made})
        else:
            assert sum(slot.threads for slot in made) <= n
            assert 1 <= len(made) <= max(1, n // (threads or 1))
            assert jobs is None or len(made) == min(jobs, max(1, n // (threads or 1)))


def test_a_run_on_the_cpu_takes_no_gpu(cores):
    cores(4, gpus=2)
    assert [slot.gpu for slot in slots([TrainerConfig(accelerator="cpu")], 4)] == [None] * 4


def test_gpus_are_those_that_are_visible(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert machine.gpus() == ["3", "5"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert machine.gpus() == []


def test_gpus_are_asked_of_the_driver(monkeypatch, tmp_path):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nprintf '0\\n1\\n'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert machine.gpus() == ["0", "1"]
    tool.write_text("#!/bin/sh\nexit 9\n")
    assert machine.gpus() == []
