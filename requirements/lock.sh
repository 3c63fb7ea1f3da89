#!/bin/sh
# Writes run.lock (what `make demo` needs), and with its versions dev.lock (for the tests), bench.lock (for the benchmark) and docs.lock (for the site).
set -eu
cd "$(dirname "$0")/.."
compile=".venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate"
$compile pyproject.toml requirements/build.in --extra local --extra flower --extra web --extra otel --extra sentry --output-file requirements/run.lock
$compile pyproject.toml requirements/build.in --group dev --extra local --extra flower --extra web --extra otel --extra sentry --constraint requirements/run.lock --output-file requirements/dev.lock
$compile pyproject.toml requirements/build.in --group bench --extra local --extra flower --extra web --constraint requirements/dev.lock --output-file requirements/bench.lock
$compile pyproject.toml --group docs --constraint requirements/dev.lock --output-file requirements/docs.lock
