# Every target works in a fresh clone: the first one that needs it makes .venv from the lock files.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV ?= .venv
BIN := $(VENV)/bin
PYTHON := $(BIN)/python
RUN_READY := $(VENV)/.run-ready
DEV_READY := $(VENV)/.dev-ready
JOB ?= jobs/quickstart.yaml
ARGS ?=
# A job may also be given as `make run jobs/catalog.yaml` or `make run job=jobs/catalog.yaml`, and a
# manifest in the same ways. What cannot be one is refused: the quickstart never runs in its place.
TARGETS := help install dev run reproduce simulate fmt check editor test test-long mutation lock
WORDS := $(filter-out $(TARGETS),$(MAKECMDGOALS))
GIVEN := $(strip $(foreach name,$(.VARIABLES),$(if $(filter command,$(origin $(name))),$(name))))
ORDER := $(firstword $(filter run reproduce,$(MAKECMDGOALS)))
ifneq ($(ORDER),)
  NAMES_run := JOB job
  USAGE_run := write: make run JOB="jobs/catalog.yaml" ARGS="--limit 5"
  NAMES_reproduce := MANIFEST manifest
  USAGE_reproduce := write: make reproduce MANIFEST="out/catalog/manifest.jsonl" ARGS="--limit 5"
  NAMES := $(NAMES_$(ORDER))
  UNKNOWN := $(filter-out $(NAMES) ARGS BATCHGEN_PYTHON VENV SHELL MAKE%,$(GIVEN))
  ifneq ($(UNKNOWN),)
    $(error `make $(ORDER)` takes $(firstword $(NAMES))= and ARGS=, and no $(firstword $(UNKNOWN))=; $(USAGE_$(ORDER)))
  endif
  ifneq ($(word 2,$(WORDS) $(filter $(NAMES),$(GIVEN))),)
    $(error `make $(ORDER)` takes one $(lastword $(NAMES)), and a path with spaces only as $(firstword $(NAMES))=; $(USAGE_$(ORDER)))
  endif
  .PHONY: $(WORDS)
  $(WORDS): ; @:
endif
# As it was written: a path may hold spaces, quotes and dollars.
export BATCHGEN_JOB = $(or $(WORDS),$(value $(or $(filter job,$(GIVEN)),JOB)))
export BATCHGEN_MANIFEST = $(or $(WORDS),$(value $(or $(filter manifest,$(GIVEN)),MANIFEST)))
# Tests run beside each other, those of one file in one process, whose fixtures they share, in the
# order of `tests/conftest.py`. What pytest makes of a test's asserts is kept, whatever a person has set.
BESIDE := --numprocesses=auto --maxprocesses=4 --dist=loadfile --no-loadscope-reorder
TESTED := PYTHONDONTWRITEBYTECODE= $(PYTHON) -m pytest

# The newest of the supported Pythons that this machine has.
FIND_PYTHON := for python in $${BATCHGEN_PYTHON:-python3.13 python3.12 python3.11 python3 python}; do \
	"$$python" -c 'import sys; sys.exit(not ((3, 11) <= sys.version_info[:2] <= (3, 13)))' \
	>/dev/null 2>&1 && { echo "$$python"; break; }; done
PIP := $(PYTHON) -m pip --disable-pip-version-check -qq
# A dot every two seconds for as long as this line of a recipe takes.
DOTS := (while sleep 2 && kill -0 $$$$ 2>/dev/null; do printf . >&2; done) & trap "kill $$!; echo >&2" EXIT;

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(RUN_READY): requirements.txt pyproject.toml
	@python="$$($(FIND_PYTHON))"; \
	if [ -z "$$python" ]; then echo "batchgen needs Python 3.11, 3.12 or 3.13 on the PATH, and found none." >&2; exit 2; fi; \
	[ -x $(PYTHON) ] || "$$python" -m venv $(VENV)
	@echo "Setting up $(VENV) (once; it may take a minute)" >&2
	@$(DOTS) $(PIP) install --require-hashes -r requirements.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@echo "$(VENV) is ready." >&2
	@touch $@

$(DEV_READY): requirements-dev.txt $(RUN_READY)
	@echo "Setting up what checks and tests need (once)" >&2
	@$(DOTS) $(PIP) install --require-hashes -r requirements-dev.txt
	@touch $@

install: $(RUN_READY) ## make .venv with what a run needs, from the lock with hashes

dev: $(DEV_READY) ## the same, and what checks and tests need

run: $(RUN_READY) ## run a job: make run JOB=jobs/catalog.yaml ARGS="--limit 5"
	@$(BIN)/batchgen run "$$BATCHGEN_JOB" $(ARGS)

reproduce: $(RUN_READY) ## make the images of a manifest again: make reproduce MANIFEST=out/catalog/manifest.jsonl
	@$(BIN)/batchgen reproduce "$$BATCHGEN_MANIFEST" $(ARGS)

simulate: $(RUN_READY) ## run the Bedrock simulator by itself: make simulate ARGS="--port 8080"
	@$(BIN)/batchgen simulate $(ARGS)

fmt: $(DEV_READY) ## format the code
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format --quiet .

check: $(DEV_READY) ## ruff, ruff format, mypy strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

editor: $(DEV_READY) ## what the YAML language server from npm says of a job; needs node
	@npm install --silent --no-audit --no-fund --prefix $(VENV)/editor yaml-language-server@1.18.0
	YAML_LANGUAGE_SERVER=$(VENV)/editor/node_modules/.bin/yaml-language-server \
		$(PYTHON) -m pytest tests/e2e/test_e2e_editor.py

test: $(DEV_READY) ## the test suite
	$(TESTED) $(BESIDE) $(ARGS)

test-long: $(DEV_READY) ## the sweeps that take longer than a suite should
	@$(PIP) install --require-hashes -r requirements-formats.txt
	$(TESTED) --long $(BESIDE) $(ARGS)

mutation: $(DEV_READY) ## how many small faults in the money's modules the tests notice (half an hour)
	@$(PIP) install --require-hashes -r requirements-mutation.txt
	@$(BIN)/mutmut run
	@$(BIN)/mutmut results | tail -n 60

lock: $(DEV_READY) ## renew the lock files from pyproject.toml
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate \
		pyproject.toml --group flit -o requirements.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate \
		pyproject.toml --group flit --group dev -c requirements.txt -o requirements-dev.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate \
		pyproject.toml --group flit --group dev --group mutation -c requirements-dev.txt -o requirements-mutation.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate \
		pyproject.toml --group flit --group dev --group formats -c requirements-dev.txt -o requirements-formats.txt

.PHONY: $(TARGETS)
