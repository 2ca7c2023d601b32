# The two commands that matter: `make run` and `make test`. `make help` lists the others.
# ARGS goes to the program that is run: make run ARGS="--model Qwen/Qwen2.5-0.5B-Instruct"

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run test check check-containers fuzz lint bench programs clean

PYTHON ?= python3
ARGS ?=
VENV := .venv
RUN := $(VENV)/.installed
TEST := $(VENV)/.installed-test

# One line a package and one a large download, instead of pip's several hundred.
PIP = $(VENV)/bin/python -m pip install --disable-pip-version-check --progress-bar off
SHORT = sed -un 's/^Collecting \([^ ]*\).*/  \1/p; /[0-9] [GM]B)/p; s/^Installing.*/  installing/p'

help: ## list the commands
	@awk -F ':[^#]*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' Makefile

run: $(RUN) ## install once, then start controller, worker and page; Ctrl-C stops them
	@exec $(VENV)/bin/cloister up $(ARGS)

test: $(TEST) programs ## install what tests need, then run them all
	@exec $(VENV)/bin/python -m pytest $(ARGS)

check: lint test ## format, lint, types, tests: what must be green before a change is handed over

check-containers: $(RUN) ## build all images and run their stack in a Docker engine of its own: root, 10 minutes
	@exec $(VENV)/bin/python -m homes.containers

fuzz: $(TEST) ## more requests made up from the OpenAPI documents than `make test` tries
	@exec env FUZZ_EXAMPLES=300 $(VENV)/bin/python -m pytest --timeout 3600 tests/fuzz $(ARGS)

lint: $(TEST) ## format, lint and types alone
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/mypy -p benchmarks

bench: $(RUN) ## measure the stack that runs at port 8000: latency and tokens a second
	@exec $(VENV)/bin/python -m benchmarks.serve $(ARGS)

clean: ## remove the environment and everything built
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(RUN): pyproject.toml setup.py $(wildcard worker/kernels/src/*)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: Cloister needs Python 3.11 or newer as $(PYTHON); name another: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || .ci/install python3-venv || { \
	  echo "error: $(PYTHON) cannot make environments; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@command -v g++ >/dev/null || .ci/install g++ || \
	  echo "warning: no g++, so the worker will be slow; on Debian: apt-get install g++" >&2
	@echo "Installing Cloister into $(VENV); this happens once and takes a few minutes."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) -e . | $(SHORT)
	@touch $@

$(TEST): $(RUN)
	@echo "Installing what the tests need."
	@$(PIP) -e '.[test]' | $(SHORT)
	@touch $@

# Debian's browser, in which the page is tested, and curl, which scripts and examples use.
programs:
	@for program in chromium curl; do \
	  command -v $$program >/dev/null || .ci/install $$program || \
	    echo "Tests need $$program; on Debian: apt-get install $$program" >&2; \
	done
