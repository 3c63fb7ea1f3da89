.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-all chaos chaos-short fuzz fuzz-http bench bench-smoke bench-waiting bench-idle bench-dispatchers bench-fairness bench-done bench-schedule bench-call bench-evidence bench-http bench-console bench-notifications docs docs-serve console-pictures sbom audit lint format lock clean
SHELL := /bin/sh

# Where it is set, each of hundreds of processes compiles what it imports.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3
BIN := .venv/bin

PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

demo: .venv/run.stamp ## Run 300 verifications from enqueue to decision, with real parts (ARGS=--keep leaves them running for the console)
	@$(BIN)/ekyc demo $(ARGS)

test: .venv/dev.stamp ## Run the quick tests: unit, integration, a dozen with real processes
	@$(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder -m "not slow"

test-slow: .venv/dev.stamp ## Run the slow tests: fleets that are killed, both brokers, a browser, the short chaos run
	@$(BIN)/python -m pytest -n 5 --dist loadfile --no-loadscope-reorder -m slow --durations=25 tests/install tests

test-all: test test-slow ## Run every test

chaos: .venv/dev.stamp ## Inject faults everywhere while 5,000 verifications run (twenty minutes)
	@$(BIN)/python -m tests.chaos

chaos-short: .venv/dev.stamp ## The same with 500 verifications (two minutes)
	@$(BIN)/python -m tests.chaos --version short

fuzz: .venv/dev.stamp ## Read random answers, and damage HTTP at random: nothing breaks, nothing is approved (80 seconds; ARGS="--seconds 400")
	@$(BIN)/python -m tests.fuzz $(ARGS)

fuzz-http: .venv/dev.stamp ## Damage HTTP at random: no verification gets another's answer (a minute; ARGS="--seconds 600")
	@$(BIN)/python -m tests.fuzz.http $(ARGS)

bench: .venv/bench.stamp ## Compare us with Celery, dramatiq, taskiq, huey (more than an hour; ARGS="--only cpu" for a part)
	@$(BIN)/python -m benchmarks.bench run $(ARGS)

bench-smoke: .venv/bench.stamp ## Run every part of the benchmark with a few verifications, and check its counts (three minutes; ARGS="--short" for one)
	@$(BIN)/python -m benchmarks.bench smoke $(ARGS)

bench-waiting: .venv/dev.stamp ## Measure the cost of 100,000 waiting verifications (5 minutes)
	@$(BIN)/python benchmarks/waiting.py

bench-idle: .venv/dev.stamp ## Measure the load of an idle fleet on Redis, and its delay before a poll (1 minute)
	@$(BIN)/python benchmarks/idle.py

bench-dispatchers: .venv/dev.stamp ## Run eight dispatchers on a ledger with 1,000,000 waiting: fairness, correctness, cost (5 minutes)
	@$(BIN)/python -m benchmarks.dispatchers

bench-fairness: .venv/dev.stamp ## Measure how long a fresh verification waits behind a backfill of 100,000 (3 minutes)
	@$(BIN)/python -m benchmarks.fairness

bench-done: .venv/dev.stamp ## Measure the cost of a poll, a decision and a done verification in Redis (1 minute)
	@$(BIN)/python -m benchmarks.done

bench-schedule: .venv/dev.stamp ## Simulate our countdowns and others, and draw docs/images/schedule.svg (half a minute)
	@$(BIN)/python -m benchmarks.schedule --chart docs/images/schedule.svg

bench-http: .venv/dev.stamp ## Measure what the HTTP API accepts, beside an empty handler (3 minutes)
	@$(BIN)/python benchmarks/http_api.py $(ARGS)

bench-console: .venv/dev.stamp ## Measure the console: one tab beside fifty, the first byte of each screen, the weight of pages (2 minutes)
	@$(BIN)/python benchmarks/console.py $(ARGS)

bench-notifications: .venv/dev.stamp ## Measure the delay of a decision with and without the vendor's callbacks (4 minutes)
	@$(BIN)/python -m benchmarks.notifications $(ARGS)

bench-call: .venv/dev.stamp ## Measure the CPU time of a vendor call and of an image (half a minute)
	@$(BIN)/python benchmarks/call.py

bench-evidence: .venv/dev.stamp ## Measure the cost of evidence on a local disk (1 minute)
	@$(BIN)/python benchmarks/evidence.py

docs: .venv/docs.stamp ## Renew the generated pages, and build the site in build/docs/site
	@$(BIN)/python -m tools.docs
	@$(BIN)/python -m tools.docs.site

docs-serve: docs ## The same, and serve the site on http://127.0.0.1:8001
	@$(BIN)/python -m http.server --bind 127.0.0.1 --directory build/docs/site 8001

console-pictures: .venv/dev.stamp ## Draw the pictures of docs/console-screens.md, in Chromium and with a fleet at work (two minutes)
	@$(BIN)/python -m tests.acceptance.console_pictures docs/images

sbom: .venv/dev.stamp ## Write the packages of the product with their licences to build/sbom.cdx.json (CycloneDX; ten seconds)
	@$(BIN)/python -m tools.sbom

audit: .venv/dev.stamp ## Compare those packages with a copy of github.com/pypa/advisory-database (ADVISORIES=folder)
	@$(BIN)/python -m tools.audit $(ADVISORIES)

lint: .venv/dev.stamp ## Ruff, mypy --strict, import-linter, plain English
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python tools/check_prose.py

format: .venv/dev.stamp ## Fix style with ruff
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lock: .venv/dev.stamp ## Renew the lock files
	@sh requirements/lock.sh

clean: ## Remove everything that the targets above create
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist var/demo

# On all cores, where pip takes one: else each process of the first run compiles the same modules. Of the packages left
# out, which are half of all code, nothing is imported, or little.
UNCOMPILED := /(cfnlint|moto|mpmath|mypy|mypyc|networkx|pip|playwright|sympy)/
COMPILE := $(BIN)/python -m compileall -qq -j 0 -x '$(UNCOMPILED)' .venv/lib || true

# A stamp file is newer than a lock file if the packages of that lock file are installed.
.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	@$(PYTHON) -m venv .venv

.venv/run.stamp: requirements/run.lock pyproject.toml | .venv/bin/python
	@echo "Installing the packages of the product into .venv …"
	@$(PIP_INSTALL) --no-compile --require-hashes -r requirements/run.lock
	@$(PIP_INSTALL) --no-deps --no-build-isolation -e .
	@$(COMPILE)
	@touch $@

.venv/dev.stamp: requirements/dev.lock .venv/run.stamp
	@echo "Installing the packages of the tests into .venv …"
	@$(PIP_INSTALL) --no-compile --require-hashes -r requirements/dev.lock
	@$(COMPILE)
	@touch $@

.venv/bench.stamp: requirements/bench.lock .venv/run.stamp
	@echo "Installing the packages of the benchmark into .venv …"
	@$(PIP_INSTALL) --no-compile --require-hashes -r requirements/bench.lock
	@touch $@

.venv/docs.stamp: requirements/docs.lock .venv/dev.stamp
	@echo "Installing the packages of the documentation into .venv …"
	@$(PIP_INSTALL) --no-compile --require-hashes -r requirements/docs.lock
	@touch $@
