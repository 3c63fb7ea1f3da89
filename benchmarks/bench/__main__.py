"""`python -m benchmarks.bench`."""

from benchmarks.bench.cli import main

if __name__ == "__main__":
    main()
