# `make` lists the targets.
#
# On a machine without a GPU the CPU build of PyTorch is installed, otherwise the ordinary one.
# To choose:  make install TORCH_SPEC=torch==2.13.0   or   TORCH_INDEX=https://download.pytorch.org/whl/cu128

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
  $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
CORES ?= 2
FOCUS_DATA ?= $(abspath ../shared/data)
export FOCUS_DATA

BIN := $(abspath $(VENV))/bin
FOCUS := $(BIN)/focus
FAST := not slow and not gpu and not attack and not cluster
QUICK := $(FAST) and not full and not realdata
# Processes of the tests; tests of one file stay in one, so that they share what they prepare.
TEST_PROCESSES ?= 2
PYTEST := -m pytest -n $(TEST_PROCESSES) --dist loadfile --durations=20
TORCH_SPEC ?=
TORCH_INDEX ?=

.PHONY: help install demo demo-breast demo-kidney nano benchmark real-data test test-all test-slow test-attacks test-cluster test-newest test-oldest coverage lint import-graph schemas docs clean

help: ## list the targets
	@sed -n 's/^\([a-z][a-z0-9. %-]*\):[^=#]*## \(.*\)/\1\t\2/p' Makefile | expand -t 26

install: $(VENV)/.installed ## a virtual environment with FOCUS in .venv

$(VENV)/.installed: pyproject.toml
	@test -n "$(PYTHON)" || { echo "make: Python 3.11, 3.12 or 3.13 is needed; set PYTHON=…" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	PIP="$(BIN)/python -m pip" TORCH_SPEC="$(TORCH_SPEC)" TORCH_INDEX="$(TORCH_INDEX)" bash .ci/install-torch
	$(BIN)/python -m pip install --quiet --editable ".[lint,test]"
	touch $@

demo/study/samples.tsv: | install
	rm -rf demo/study
	$(FOCUS) simulate demo/study --seed 0 --size-um 1500 --genes 200

demo: install demo/study/samples.tsv ## simulate a small study and run the whole workflow on it
	$(FOCUS) run --configfile config/demo.yaml --cores $(CORES)
	@$(BIN)/python -m focus_cli.cli.workflow_steps summary demo/results

demo-breast demo-kidney: demo-%: install real-data ## run the workflow on the real breast or kidney sections (FOCUS_DATA)
	$(FOCUS) run --configfile config/$*.yaml --cores $(CORES)
	@$(BIN)/python -m focus_cli.cli.workflow_steps summary results/$*

nano: install real-data ## train the checkpoint that FOCUS ships (FOCUS_DATA)
	$(FOCUS) run --configfile config/nano.yaml --cores $(CORES) results/nano/models/all
	$(BIN)/python -m focus_cli.cli.workflow_steps pack results/nano/models/all --out focus_cli/model/checkpoints/focus-nano

benchmark: install real-data ## the benchmark of docs/results.md (FOCUS_DATA)
	$(BIN)/python benchmarks/osmfish.py --out results/benchmark/osmfish.h5ad
	$(FOCUS) benchmark config/benchmark.yaml --cores $(CORES)

real-data: ## check that FOCUS_DATA exists
	@test -d "$(FOCUS_DATA)/scrna" || \
	  { echo "make: no real data in $(FOCUS_DATA); set FOCUS_DATA to the folder that holds them" >&2; exit 1; }

test: install ## the tests of a few minutes
	$(BIN)/python $(PYTEST) -m "$(QUICK)"

test-all: install ## these and the longer ones, as CI runs
	$(BIN)/python $(PYTEST) -m "$(FAST)"

test-slow: install ## tests of more than a minute
	$(BIN)/python -m pytest -m "slow and not cluster and not gpu and not attack"

test-attacks: install ## damaged and hostile input of every kind into every command
	$(BIN)/python -m pytest -m attack tests/attacks

test-cluster: install ## the tests on a real Slurm (root; Debian's slurmctld slurmd slurm-client munge)
	$(BIN)/python -m pytest -m cluster tests/cluster

# Newest versions of everything on Python 3.12 and 3.13, and the lower bounds of pyproject.toml on 3.11, each in an
# environment of its own (PyTorch brings gigabytes to each).
test-newest: test-newest-3.12 test-newest-3.13 ## the fast tests with the newest versions on Python 3.12 and 3.13

test-newest-%:
	bash .ci/environment newest $* .venv-newest-$*
	.venv-newest-$*/bin/python $(PYTEST) -m "$(FAST)"

test-oldest: ## the fast tests with the lower bounds of pyproject.toml on Python 3.11
	bash .ci/environment oldest 3.11 .venv-oldest
	FOCUS_OLDEST=1 .venv-oldest/bin/python $(PYTEST) -m "$(FAST)"

# Part of the tests: make coverage TESTS=tests/cli
TESTS ?= tests
coverage: install ## branch coverage of the fast tests, or of TESTS=FOLDER
	$(BIN)/python -m pytest -m "$(FAST)" --cov --cov-report=term $(TESTS)

lint: install ## style, types, imports and prose
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check workflows/Snakefile workflows/benchmark.smk workflow/Snakefile rules
	$(BIN)/snakemake --lint
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/python docs/hooks/prose.py

import-graph: install ## redraw the imports of docs/architecture.md
	$(BIN)/python docs/hooks/import_graph.py

schemas: install ## rewrite the schemas of the configuration and the sheet
	$(BIN)/python -m focus_cli.cli.workflow_steps schemas workflows/schemas

docs: install ## the documentation as a site in site/
	$(BIN)/python -m pip install --quiet "mkdocs-material>=9.5"
	$(BIN)/python -m mkdocs build --strict

clean: ## remove what the targets made, except .venv
	rm -rf site demo results .snakemake build dist .pytest_cache .ruff_cache .hypothesis
