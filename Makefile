# `make` lists the targets. Everything runs from .venv, which the first target that needs it creates.
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
# One seed for Hypothesis and for every random test; printed, so that a failure can be repeated.
ifndef SEED
SEED := $(shell od -An -N3 -tu4 /dev/urandom | tr -d ' ')
endif

.PHONY: help venv run test mutants soak lint format bench quality docs lock image clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 10

venv: $(STAMP) ## .venv with everything, from the hashed requirement files; seconds when nothing changed

$(STAMP): requirements/dev.txt requirements/build.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "no $(PYTHON) here: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	  || { echo "the locked requirements are for Python 3.11 to 3.13, not $$($(PYTHON) -V): make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV) \
	  || { rm -rf $(VENV); echo "could not create $(VENV): on Debian and Ubuntu, apt install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/build.txt -r requirements/dev.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

run: $(STAMP) ## the demo: a plant and a card stream with known faults, one minute
	$(BIN)/streamer demo

PYTEST = TEST_SEED=$(SEED) $(BIN)/python -m pytest --hypothesis-seed=$(SEED) --durations=25
WORKERS ?= 2
QUICK = $(if $(FAST), and not slow)

# Tests of a file share a worker, all trials of faults share one; see tests/conftest.py for the order.
test: $(STAMP) ## every test but the long ones; FAST=1 leaves the slow ones out, SEED=n repeats a run, T=path picks some
	@echo "seed $(SEED): repeat with  make test SEED=$(SEED)"
	$(PYTEST) -m "not long$(QUICK)" $(if $(T),$(T),-n $(WORKERS) --dist loadfile --no-loadscope-reorder)

mutants: $(STAMP) ## plant each bug of tests/mutants.toml in a copy: a test must fail; T=word picks files
	$(BIN)/python -m tests.mutants $(T)

soak: $(STAMP) ## trials of faults in their long form and what measures the machine, hours, figures as they come; T="-k kill" picks some
	@echo "seed $(SEED): repeat with  make soak SEED=$(SEED)"
	STREAMER_SOAK=1 TEST_SEED=$(SEED) $(BIN)/python -m pytest -m "trial or long" -v -s --timeout=3600 --durations=0 $(T)

lint: $(STAMP) ## ruff, ruff format, mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP) ## let ruff rewrite what it can
	$(BIN)/ruff check --fix-only -q .
	$(BIN)/ruff format .

bench: $(STAMP) ## speed: events/s, latency, memory against their floors (15 to 40 minutes); writes bench/results/
	$(BIN)/python -m bench.speed
	$(BIN)/python -m bench.kafka
	$(BIN)/python -m bench.beside --rounds 2

quality: $(STAMP) ## detection quality: labelled streams, a pump, public sets beside this checkout (an hour; Q=--quick: minutes)
	$(BIN)/python -m bench.quality $(Q)

docs: $(STAMP) ## regenerate the references from the code, and the tables of figures from bench/results/
	$(BIN)/python -m docgen
	$(BIN)/python -m bench.tables

# The only target that asks a package registry for anything but the locked files. UV: any `uv` will do.
UV ?= uv
COMPILE = $(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
  --no-emit-find-links --no-header --no-annotate $(if $(UPGRADE),--upgrade)
lock: ## recompile requirements/*.txt from pyproject.toml; UPGRADE=1 takes the newest versions (needs uv)
	@command -v $(UV) >/dev/null || { echo "make lock needs uv (pip install uv, in any virtual environment): make lock UV=/path/to/uv" >&2; exit 1; }
	$(COMPILE) requirements/build.in -o requirements/build.txt
	$(COMPILE) pyproject.toml --extra full --extra dev -o requirements/dev.txt
	$(COMPILE) pyproject.toml -c requirements/dev.txt -o requirements/core.txt
	$(COMPILE) pyproject.toml --extra edge --extra sign --extra avro --extra compression -c requirements/dev.txt -o requirements/edge.txt
	$(COMPILE) pyproject.toml --extra full -c requirements/dev.txt -o requirements/full.txt

# BUILDER: docker build | podman build | buildah build. Without an engine or root: BUILDAH_ISOLATION=chroot STORAGE_DRIVER=vfs.
BUILDER ?= docker build
TARGET ?= full
image: ## the container image; TARGET=full|edge, BUILDER="buildah build", IMAGE_ARGS="--build-arg BASE=..."
	$(BUILDER) --target $(TARGET) -t streamer:$(TARGET) $(IMAGE_ARGS) .

clean: ## remove .venv, caches and build products; never state/ or results
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
