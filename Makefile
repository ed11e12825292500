# One venv, one command for each thing a developer or newcomer does.
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready-to-run
DEVELOP := $(VENV)/.ready-to-develop
AWS_VENV ?= .venv-aws
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
PURE := daemon/tiphys/spec daemon/tiphys/expressions daemon/tiphys/manifests daemon/tiphys/scheduler
CONFORMANCE ?= ../shared/conformance
EXAMPLE ?= examples/fan-out.yaml
ARGS ?=
FUZZ_SECONDS ?= 600

.PHONY: help run setup aws test check format conformance fuzz bench clean

help: ## this list
	@grep -hE '^[a-z]+:.*## ' Makefile | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

run: $(READY) ## set up if need be, then run the main example (EXAMPLE=FILE, ARGS='-p k=v')
	@$(BIN)/tiphys run $(EXAMPLE) $(ARGS)

setup: $(DEVELOP) ## make or refresh the virtual environment in .venv, with what tests and checks need

$(READY): pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) ..."
	@$(PIP) --editable .
	@touch $@

$(DEVELOP): pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV), with what tests and checks need ..."
	@$(PIP) --editable '.[dev]'
	@touch $@ $(READY)

# It pins another botocore than aiobotocore does, so it cannot be in the same environment.
aws: $(AWS_VENV)/bin/aws ## the `aws` command, which some acceptance tests need, in an environment of its own

$(AWS_VENV)/bin/aws:
	@test -x $(AWS_VENV)/bin/python || $(PYTHON) -m venv $(AWS_VENV)
	@echo "installing the aws command into $(AWS_VENV) ..."
	@$(AWS_VENV)/bin/python -m pip install --quiet --disable-pip-version-check 'awscli>=1.40,<2'

test: $(DEVELOP) ## all tests (ARGS='tests/cli -k tree')
	$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

check: $(DEVELOP) ## style, types, floors
	$(BIN)/ruff check .
	$(BIN)/ruff check --config daemon/pure-floors.toml $(PURE)
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(DEVELOP) ## put the code into the project's form
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

conformance: $(DEVELOP) ## the conformance corpus, where it is there (ARGS='--id "ex--dag-*" -v')
	@if [ -f $(CONFORMANCE)/run_conformance.py ]; then \
	    sh $(CONFORMANCE)/shims/setup.sh --root && \
	    PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python tests/conformance/judged.py $(CONFORMANCE) --jobs 2 $(ARGS); \
	else \
	    echo "there is no conformance corpus at $(CONFORMANCE); nothing was run"; \
	fi

fuzz: $(DEVELOP) ## FUZZ_SECONDS (600): half for generated workflows with and without crashes, the rest for random walks, parser, expressions
	@$(BIN)/python -c 'import atheris' 2>/dev/null || $(PIP) --editable '.[fuzz]'
	TIPHYS_FUZZ_SECONDS=$$(($(FUZZ_SECONDS) / 2)) $(BIN)/python -m pytest tests/generated -q -k long $(ARGS)
	TIPHYS_FUZZ_SECONDS=$$(($(FUZZ_SECONDS) / 6)) $(BIN)/python -m pytest tests/scheduler -q -k long $(ARGS)
	$(BIN)/python tests/fuzz/hunt.py manifests $$(($(FUZZ_SECONDS) / 6))
	$(BIN)/python tests/fuzz/hunt.py expressions $$(($(FUZZ_SECONDS) / 6))

bench: $(DEVELOP) ## measurements
	@shopt -s nullglob; found=0; \
	for script in tests/bench/bench_*.py; do found=1; echo "== $$script"; $(BIN)/python $$script $(ARGS) || exit 1; done; \
	[ $$found = 1 ] || echo "this release has no benchmarks"

clean: ## remove caches and builds, keep the virtual environment
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache daemon/tiphys.egg-info
	find daemon tests -name __pycache__ -type d -prune -exec rm -rf {} +
