# make install      a virtual environment with FOCUS in it (.venv)
# make demo         simulate a small study and run the whole workflow on it
# make demo-breast  the real breast sections;  make demo-kidney  the real Visium HD kidney (FOCUS_DATA)
# make nano         train the checkpoint that FOCUS ships;  make benchmark  the benchmark of docs/results.md (FOCUS_DATA)
# make test         the fast tests;  make test-slow  the rest;  make lint  style;  make clean
# make docs         the documentation as a site, in site/
# make test-attacks damaged and hostile input of every kind into every verb
# make test-newest  the fast tests with the newest versions of everything, on 3.12 and 3.13; make test-oldest with the oldest
# make test-cluster the tests on a real Slurm, fast and slow (root, and Debian's slurmctld slurmd slurm-client munge)
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
FAST := not slow and not gpu and not attack
TORCH_SPEC ?=
TORCH_INDEX ?=

.PHONY: help install demo demo-breast demo-kidney nano benchmark real-data test test-slow test-attacks test-cluster test-newest test-oldest lint schemas docs clean

help:
	@sed -n 's/^# \{0,1\}//p;/^$$/q' Makefile

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	@test -n "$(PYTHON)" || { echo "make: Python 3.11, 3.12 or 3.13 is needed; set PYTHON=…" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	PIP="$(BIN)/python -m pip" TORCH_SPEC="$(TORCH_SPEC)" TORCH_INDEX="$(TORCH_INDEX)" bash .ci/install-torch
	$(BIN)/python -m pip install --quiet --editable ".[lint,test]"
	touch $@

demo/study/samples.tsv: | install
	rm -rf demo/study
	$(FOCUS) simulate demo/study --seed 0

demo: install demo/study/samples.tsv
	$(FOCUS) run --configfile config/demo.yaml --cores $(CORES)
	@$(BIN)/python -m focus_cli.cli.workflow_steps summary demo/results

demo-breast demo-kidney: demo-%: install real-data
	$(FOCUS) run --configfile config/$*.yaml --cores $(CORES)
	@$(BIN)/python -m focus_cli.cli.workflow_steps summary results/$*

nano: install real-data
	$(FOCUS) run --configfile config/nano.yaml --cores $(CORES) results/nano/models/all
	$(BIN)/python -m focus_cli.cli.workflow_steps pack results/nano/models/all --out focus_cli/model/checkpoints/focus-nano

benchmark: install real-data
	$(BIN)/python benchmarks/osmfish.py --out results/benchmark/osmfish.h5ad
	$(FOCUS) benchmark config/benchmark.yaml --cores $(CORES)

real-data:
	@test -d "$(FOCUS_DATA)/scrna" || \
	  { echo "make: no real data in $(FOCUS_DATA); set FOCUS_DATA to the folder that holds them" >&2; exit 1; }

test: install
	$(BIN)/python -m pytest -m "$(FAST)"

test-slow: install
	$(BIN)/python -m pytest -m "slow and not cluster and not gpu and not attack"

test-attacks: install
	$(BIN)/python -m pytest -m attack tests/attacks

test-cluster: install
	$(BIN)/python -m pytest -m cluster tests/cluster

# Newest versions of everything on Python 3.12 and 3.13, and the lower bounds of pyproject.toml on 3.11, each in an
# environment of its own (PyTorch brings gigabytes to each).
test-newest: test-newest-3.12 test-newest-3.13

test-newest-%:
	bash .ci/environment newest $* .venv-newest-$*
	.venv-newest-$*/bin/python -m pytest -m "$(FAST)"

test-oldest:
	bash .ci/environment oldest 3.11 .venv-oldest
	FOCUS_OLDEST=1 .venv-oldest/bin/python -m pytest -m "$(FAST)"

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check workflows/Snakefile workflows/benchmark.smk workflow/Snakefile rules
	$(BIN)/snakemake --lint
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/python docs/hooks/prose.py

import-graph: install
	$(BIN)/python docs/hooks/import_graph.py

schemas: install
	$(BIN)/python -m focus_cli.cli.workflow_steps schemas workflows/schemas

docs: install
	$(BIN)/python -m pip install --quiet "mkdocs-material>=9.5"
	$(BIN)/python -m mkdocs build --strict

clean:
	rm -rf site demo results .snakemake build dist .pytest_cache .ruff_cache .hypothesis
