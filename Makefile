.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-all chaos chaos-short fuzz-http bench bench-smoke bench-waiting bench-idle bench-dispatchers bench-done bench-schedule bench-call bench-evidence docs docs-serve lint format lock clean
SHELL := /bin/sh

PYTHON ?= python3
BIN := .venv/bin

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

demo: .venv/run.stamp ## Watch 300 verifications travel: Valkey, a vendor, two workers, a pipeline
	@$(BIN)/ekyc demo

test: .venv/dev.stamp ## Run the quick tests: unit, integration, a dozen with real processes
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder -m "not slow"

test-slow: .venv/dev.stamp ## Run the others: whole fleets that are killed, both brokers, a browser, the short chaos run
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder -m slow --durations=25

test-all: test test-slow ## Run every test

chaos: .venv/dev.stamp ## Break everything while 5,000 verifications travel (twenty minutes)
	@$(BIN)/python -m tests.chaos

chaos-short: .venv/dev.stamp ## The same with 500 (two minutes)
	@$(BIN)/python -m tests.chaos --version short

fuzz-http: .venv/dev.stamp ## Damage HTTP at random: nobody gets what is another's (a minute; ARGS="--seconds 600")
	@$(BIN)/python -m tests.fuzz.http $(ARGS)

bench: .venv/bench.stamp ## Measure ours beside Celery, dramatiq, taskiq, huey (more than an hour; ARGS="--only cpu" for a part)
	@$(BIN)/python -m benchmarks.bench run $(ARGS)

bench-smoke: .venv/bench.stamp ## Run every part of it with a few verifications: do all counts agree? (a minute)
	@$(BIN)/python -m benchmarks.bench smoke $(ARGS)

bench-waiting: .venv/dev.stamp ## Measure what 100,000 waiting verifications cost (5 minutes)
	@$(BIN)/python benchmarks/waiting.py

bench-idle: .venv/dev.stamp ## Measure what an idle fleet costs Redis, and how soon it polls (1 minute)
	@$(BIN)/python benchmarks/idle.py

bench-dispatchers: .venv/dev.stamp ## Eight dispatchers on a ledger with 1,000,000 waiting: fair, correct, and what it costs (5 minutes)
	@$(BIN)/python -m benchmarks.dispatchers

bench-done: .venv/dev.stamp ## Measure what a poll, a decision and a done verification cost Redis (1 minute)
	@$(BIN)/python -m benchmarks.done

bench-schedule: .venv/dev.stamp ## Play our countdowns against others, and draw docs/images/schedule.svg (half a minute)
	@$(BIN)/python -m benchmarks.schedule --chart docs/images/schedule.svg

bench-call: .venv/dev.stamp ## Measure what a call of the vendor and an image cost in CPU (half a minute)
	@$(BIN)/python benchmarks/call.py

bench-evidence: .venv/dev.stamp ## Measure what keeping evidence on a local disk costs (1 minute)
	@$(BIN)/python benchmarks/evidence.py

docs: .venv/docs.stamp ## Renew the generated pages, and build the site into build/docs/site
	@$(BIN)/python -m tools.docs
	@$(BIN)/python -m tools.docs.site

docs-serve: docs ## The same, and serve it on http://127.0.0.1:8001
	@$(BIN)/python -m http.server --bind 127.0.0.1 --directory build/docs/site 8001

lint: .venv/dev.stamp ## Ruff, mypy --strict, import-linter, plain English
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python tools/check_prose.py

format: .venv/dev.stamp ## Let ruff fix what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lock: .venv/dev.stamp ## Renew the lock files
	@sh requirements/lock.sh

clean: ## Remove what the targets above made
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist var/demo

# A stamp says: this environment holds exactly what that lock file names.
.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	@$(PYTHON) -m venv .venv

.venv/run.stamp: requirements/run.lock pyproject.toml | .venv/bin/python
	@echo "Installing what the product needs into .venv …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.venv/dev.stamp: requirements/dev.lock .venv/run.stamp
	@echo "Installing what the tests need into .venv …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	@touch $@

.venv/bench.stamp: requirements/bench.lock .venv/run.stamp
	@echo "Installing what the benchmark needs into .venv …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.lock
	@touch $@

.venv/docs.stamp: requirements/docs.lock .venv/dev.stamp
	@echo "Installing what builds the documentation into .venv …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/docs.lock
	@touch $@
