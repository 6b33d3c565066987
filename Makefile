# Bare `make` lists the targets. Those that need Python set up .venv first, when it is missing or out of date.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo docs test nightly browser check lint format types contracts cluster-pins constraints promises licences dist smoke lowest latest py312 venv clean

# The interpreter .venv is made with; empty: the first of python3.11, python3.12, python3 that fits.
PYTHON ?=
# The other supported interpreter, for `make constraints` and `make py312`.
PYTHON312 ?= python3.12
# The Chromium that tests of pages drive; empty: the first of its usual names on PATH.
CHROMIUM ?=
export CHROMIUM
# What `make test` hands to pytest. Two workers; the tests of one file stay together, and so do its emulators.
PYTEST_ARGS ?= -n 2 --dist loadfile --no-loadscope-reorder
# What `make lowest`, `make latest` and `make py312` hand to pytest.
TRY_ARGS ?= tests/unit tests/contracts
# Which extras `make smoke` tries; empty: all.
EXTRAS ?=

bin := .venv/bin
shell_files = .ci/run $(shell find servo_emr tools -name '*.sh' -not -path '*/.*')

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: venv  ## the main job on an emulated EMR: no AWS account, no credentials
	@$(bin)/servo-emr demo

docs: venv  ## the site of these pages, into build/docs (open build/docs/index.html)
	@tools/build_docs.sh

test: venv browser  ## the whole test suite (PYTEST_ARGS="tests/unit -x" for a part of it)
	@$(bin)/python -m pytest $(PYTEST_ARGS)

nightly: venv  ## the long runs: kill -9 at every call of a cycle, 10,000 schedules, 1,000 cycles of one servo (hours)
	@$(bin)/python -m pytest -m nightly -q

browser:  ## find the Chromium that tests of pages need, or install Debian's (CHROMIUM=/path names another)
	@CHROMIUM="$(CHROMIUM)" tools/set_up_chromium.sh

check: lint contracts  ## all that CI runs: lint, contracts, types, the cluster's pins, tests
	@# Types take one core, and the pins wait for an index: both at once. `wait` tells whether the pins resolved.
	@$(MAKE) --no-print-directory cluster-pins & pins=$$!; types=0; $(MAKE) --no-print-directory types || types=$$?; \
	wait $$pins; exit $$types
	@$(MAKE) --no-print-directory test

lint: venv  ## ruff's rules and format, shell syntax
	$(bin)/ruff check .
	$(bin)/ruff format --check .
	$(bin)/python tools/hygiene.py
	@for file in $(shell_files); do echo "bash -n $$file"; bash -n "$$file"; done

format: venv  ## let ruff put the code into shape
	$(bin)/ruff check --fix .
	$(bin)/ruff format .

types: venv  ## mypy, strict
	$(bin)/mypy

contracts: venv  ## which layer may import which
	$(bin)/lint-imports

cluster-pins: venv  ## the packages pinned for the cluster's Pythons resolve
	$(bin)/python tools/check_cluster_constraints.py

constraints: venv  ## pin the newest packages that pyproject.toml allows (needs Python 3.11 and 3.12)
	$(bin)/python tools/lock_constraints.py --other-python $(PYTHON312)

promises: venv  ## renew the tables of docs/promises.md from the tests
	@$(bin)/python tools/promise_table.py

licences: venv  ## renew docs/licences.md from what is installed
	@$(bin)/python tools/licences.py

dist: venv  ## the sdist, and from it the wheel, in dist/; the same bytes from the same commit
	rm -rf dist
	$(bin)/python -m build --no-isolation

smoke: dist  ## dist/ as a stranger installs it: each extra alone, the whole demo (minutes; EXTRAS="plain report": those)
	@$(bin)/python tools/smoke.py $(EXTRAS)

lowest: venv  ## tests with each dependency at the lower bound of pyproject.toml (TRY_ARGS: which tests)
	@$(bin)/python tools/try_environment.py lowest
	build/environments/lowest/bin/python -m pytest $(TRY_ARGS)

latest: venv  ## tests with the newest that pyproject.toml allows, constraints.txt left out
	@$(bin)/python tools/try_environment.py latest
	build/environments/latest/bin/python -m pytest $(TRY_ARGS)

py312: venv  ## tests on Python 3.12, with constraints.txt (PYTHON312=/path names it)
	@$(bin)/python tools/try_environment.py pinned --python $(PYTHON312)
	build/environments/pinned/bin/python -m pytest $(TRY_ARGS)

venv:  ## set up .venv, or find it up to date
	@PYTHON="$(PYTHON)" tools/setup_venv.sh

clean:  ## remove .venv, caches and built files
	rm -rf .venv build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
