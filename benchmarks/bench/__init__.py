"""The benchmark: what a user would take instead, side by side in one run. `python -m benchmarks.bench --help`."""
