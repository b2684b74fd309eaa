# Roundhouse. `make run` and `make test` install what they need into .venv and work on a bare machine.
SHELL := /bin/sh
PYTHON ?= python3
ENGINE ?= auto
CASES ?= 10000
TURNS ?= 30
PY := .venv/bin/python
export ENGINE

.DEFAULT_GOAL := help
.PHONY: help run test check bench bench-launch soak chaos chaos-launcher fuzz format install install-dev clean

help: ## List every target
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

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

bench: install-dev ## Measure the gateway's cost beside a bare relay (ARGS=--help), or another server's (BASE_URL, KEY, MODEL)
	@exec $(PY) -m bench $(ARGS)

bench-launch: install-dev ## Measure what Roundhouse adds to a launch of vLLM by hand, and how long a stop takes (ARGS=--help)
	@exec $(PY) -m bench.launch $(ARGS)

soak: install-dev ## Send 100,000 requests of 10,000 sessions, and see that memory stays flat (ARGS=--help)
	@exec $(PY) -m bench.soak $(ARGS)

chaos: install-dev ## Kill, hang, fill up and stop engines, servers, databases and disks under load, longer than `make test` does (TURNS=30)
	@ROUNDHOUSE_TEST_CHAOS_TURNS=$(TURNS) exec $(PY) -m tests.chaos

chaos-launcher: install-dev ## Kill, hang and starve engines, workers, Ray and nodes, a real vLLM among them; see that nothing is left
	@exec $(PY) -m tests.chaos_launcher

fuzz: install-dev ## Send the gateway nonsense for half an hour, other nonsense each time (CASES=10000 a target, SEED=…)
	@seed=$${SEED:-$$(date +%s)}; echo "SEED=$$seed"; \
	ROUNDHOUSE_TEST_FUZZ_CASES=$(CASES) exec $(PY) -m pytest tests/fuzz --timeout=0 --hypothesis-seed=$$seed

format: ## Format the code and mend what the linter can mend
	@$(PY) -m ruff format .
	@$(PY) -m ruff check --fix .

install: ## Install Roundhouse and a vLLM that fits this machine into .venv
	@$(PYTHON) controlplane/install.py --engine=$(ENGINE)

install-dev:
	@$(PYTHON) controlplane/install.py --engine=$(if $(filter none,$(ENGINE)),auto,$(ENGINE)) --dev

clean: ## Remove .venv and caches (never the data directory)
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache build *.egg-info
