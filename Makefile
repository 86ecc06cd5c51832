# `make help` lists the targets.  Each sets up what it needs, in .venv.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
export PYTHON
VENV ?= .venv
RUN := $(VENV)/bin/python
TORCH ?= 2.13.0
NEWEST_VENV := .venv-newest-torch

.DEFAULT_GOAL := help
.PHONY: help setup setup-test demo test lint types unit parity test-newest-torch clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

setup: $(VENV)/.run ## Install efcompile for use
setup-test: $(VENV)/.test ## Install what the tests need too (with apt-get where it is missing)

demo: setup ## Compile EfficientFormer-L1 for this machine
	$(VENV)/bin/efcompile optimize efficientformer_l1

test: setup-test lint types unit ## Lint, types and tests (the whole list of models: make parity)

lint: setup-test ## ruff
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .

types: setup-test ## mypy, strict
	$(RUN) -m mypy

unit: setup-test ## Tests: every unit, and one small model per family
	$(RUN) -m pytest -m "not parity"

parity: setup-test ## Every model of the long list against eager PyTorch
	$(RUN) -m pytest -m parity

test-newest-torch: setup-test ## A subset of the tests with the newest supported torch
	tools/setup.sh $(NEWEST_VENV) run "torch>=2.13,<2.16"
	$(NEWEST_VENV)/bin/python -m pip install --quiet pytest hypothesis
	$(NEWEST_VENV)/bin/python -m pytest -m "not parity" \
		tests/models tests/capture tests/ops tests/passes tests/lowering tests/test_api.py \
		tests/integration/test_parity.py

clean: ## Remove environments and caches
	rm -rf $(VENV) $(NEWEST_VENV) .mypy_cache .pytest_cache .ruff_cache

$(VENV)/.run: pyproject.toml tools/setup.sh
	tools/setup.sh $(VENV) run "torch==$(TORCH)"

$(VENV)/.test: pyproject.toml tools/setup.sh
	tools/setup.sh $(VENV) test "torch==$(TORCH)"
