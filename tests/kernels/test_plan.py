"""Memory budgets and the choice of a route."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from lab.errors import KernelError
from lab.kernels import Falkon
from lab.kernels.plan import Size, free_memory, make_plan, parse_memory

CPU = torch.device("cpu")


def test_budgets():
    assert parse_memory(1000, CPU) == 1000
    assert parse_memory("2GiB", CPU) == 2**31
    assert parse_memory("1.5 kB", CPU) == 1500
    assert 0 < parse_memory(None, CPU) < free_memory(CPU)
    for wrong in ("2 apples", "", -5, 0, "-1GiB", "1.2.3GB"):
        with pytest.raises(KernelError, match="memory must be a size"):
            parse_memory(wrong, CPU)


def test_many_classes_take_the_gram_matrix_and_few_take_conjugate_gradients():
    plenty = 2**40
    assert make_plan(Size(50_000, 1280, 5000, 100), plenty).route == "gram"
    assert make_plan(Size(50_000, 1280, 5000, 10), plenty).route == "cg"
    # Without room for K_nM each iteration computes it again.
    streamed = make_plan(Size(1_000_000, 512, 4000, 10), 2**31)
    assert (streamed.route, streamed.stored) == ("gram", False)
    # A path of penalties costs one Gram matrix.
    assert make_plan(Size(50_000, 1280, 5000, 10, L=7), plenty).route == "gram"


@pytest.mark.parametrize("solver", ["auto", "cg", "gram"])
def test_a_plan_keeps_to_the_budget_and_says_the_least_that_works(solver):
    size = Size(20_000, 256, 1000, 10)
    with pytest.raises(KernelError, match="too small for M=1000 centres") as caught:
        make_plan(size, 2**20, solver=solver)
    words = str(caught.value).split("the least is ")[1].split(",")[0]
    assert "\n" not in str(caught.value)
    least = float(words.split()[0]) * 2**20
    assert make_plan(size, int(least * 1.01), solver=solver).bytes <= least * 1.01
    with pytest.raises(KernelError):
        make_plan(size, int(least * 0.99), solver=solver)
    for budget in (2**27, 2**28, 2**30):
        assert make_plan(size, budget, solver=solver).bytes <= budget


def test_a_budget_too_small_is_an_error_before_anything_is_allocated():
    with pytest.raises(KernelError, match=r"M x M factors; give more memory or fewer centres"):
        Falkon(M=500, memory="1MiB").fit(np.random.default_rng(0).normal(size=(600, 4)), np.arange(600) % 2)


SCRIPT = """
import sys
import numpy as np
import torch
from pathlib import Path
from lab.kernels import Falkon

torch.set_num_threads(1)
budget, rows = int(sys.argv[1]), int(sys.argv[2])

def anonymous(key):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024

rng = np.random.default_rng(0)
X = rng.normal(size=(rows, 32)).astype(np.float32)
y = rng.integers(0, 4, rows)
options = dict(M=1000, sigma=6.0, precision="float32", maxiter=2)
Falkon(**{**options, "M": 100}).fit(X[:300], y[:300]).predict(X[:300])  # libraries are loaded
before = anonymous("VmRSS")
for solver in ("cg", "gram"):
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    model = Falkon(**options, solver=solver, memory=budget).fit(X, y)
    model.predict(X[:5000])
    print(anonymous("VmHWM") - before, model.stored_, model.plan_.bytes)
    del model
"""


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="needs Linux's count of peak memory")
def test_the_memory_that_a_fit_takes_is_in_its_budget():
    """K_nM would take 120 MiB."""
    budget = 80 * 2**20
    command = [sys.executable, "-c", SCRIPT, str(budget), "30000"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = run.stdout.splitlines()
    assert len(lines) == 2
    for line in lines:
        peak, stored, planned = line.split()
        assert stored == "False"
        assert int(planned) <= budget
        assert int(peak) <= budget
