# Roundhouse. `make run` and `make test` install what they need into .venv and work on a bare machine.
SHELL := /bin/sh
PYTHON ?= python3
ENGINE ?= auto
PY := .venv/bin/python
export ENGINE

.DEFAULT_GOAL := help
.PHONY: help run test check bench format install install-dev clean

help: ## List every target
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## Install, then start Roundhouse with a tiny engine (PORT, ROUNDHOUSE_DATA_DIR, ENGINE=none)
	@$(PYTHON) controlplane/install.py --engine=$(ENGINE)
	@exec $(PY) manage.py quickstart

test: install-dev ## Run the whole suite, a real vLLM included; says what it skipped and why
	@exec $(PY) -m tests

check: ## Run every static check: format, lint, types, layers, migrations
	@$(PYTHON) controlplane/install.py --engine=none --dev
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@.venv/bin/lint-imports --no-logo
	@$(PY) -m mypy
	@ROUNDHOUSE_DATA_DIR=.venv/check $(PY) manage.py makemigrations --check --dry-run
	@ROUNDHOUSE_DATA_DIR=.venv/check $(PY) manage.py check --fail-level WARNING
	@$(PY) -m pytest -q tests/house

bench: install-dev ## Measure the gateway's cost beside a bare relay (ARGS="--requests 10000 --in-flight 1 32 256")
	@exec $(PY) -m bench $(ARGS)

format: ## Format the code and mend what the linter can mend
	@$(PY) -m ruff format .
	@$(PY) -m ruff check --fix .

install: ## Install Roundhouse and a vLLM that fits this machine into .venv
	@$(PYTHON) controlplane/install.py --engine=$(ENGINE)

install-dev:
	@$(PYTHON) controlplane/install.py --engine=$(if $(filter none,$(ENGINE)),auto,$(ENGINE)) --dev

clean: ## Remove .venv and caches (never the data directory)
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache build *.egg-info
