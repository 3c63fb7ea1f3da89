"""`python -m worker.cli` is `ekyc`."""

from __future__ import annotations

from worker.cli import main

if __name__ == "__main__":
    main()
