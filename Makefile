# Everything that is done often. `make` alone lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo test lint bench pages clean
# Imports are cached even where the surrounding machine turns that off: importing torch twice as fast is worth it.
unexport PYTHONDONTWRITEBYTECODE

# The first of these that is 3.11 or newer; looked for only when it is needed.
PYTHON = $(shell for python in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-6s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/installed  ## DDB against plain training on drawn shapes: 3 minutes on two cores, ends with a table and a report
	.venv/bin/lab fit --config experiments/ddb_shapes.yaml

test: .venv/installed  ## the test suite
	.venv/bin/python -m pytest -q -n auto --maxprocesses 4 --dist loadfile $(ARGS)

lint: .venv/installed  ## ruff and mypy
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

bench: .venv/installed  ## benchmarks, each printing a ratio
	.venv/bin/python -m benchmarks.overhead
	.venv/bin/python -m benchmarks.sampling --train-steps 400 --images 200 --ancestral-images 40 --precision fp32
	.venv/bin/python -m benchmarks.sweeps --seeds 2

pages: .venv/installed  ## the generated parts of the README and of the papers' pages, from experiments/results/
	.venv/bin/python -m lab.reports.pages

clean:  ## remove the environment and caches; runs and data stay
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache
	find lab tests benchmarks -name __pycache__ -prune -exec rm -rf {} +

# uv where it is installed, else from PyPI into the new environment.
.venv/installed: pyproject.toml constraints.txt
	@set -euo pipefail; \
	python="$(PYTHON)"; \
	if [ -z "$$python" ]; then echo "lab needs Python 3.11 or newer, and there is none on PATH (tried python3, python3.11 to python3.14, python)" >&2; exit 1; fi; \
	if uv --version >/dev/null 2>&1; then uv=uv; uv venv --quiet --allow-existing --python "$$python" .venv; \
	else uv=.venv/bin/uv; "$$python" -m venv .venv; .venv/bin/python -m pip install --quiet uv; fi; \
	"$$uv" pip install --python .venv/bin/python --compile-bytecode --constraint constraints.txt --editable '.[dev]'; \
	touch $@
