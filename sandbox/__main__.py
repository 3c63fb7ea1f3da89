"""`python -m sandbox` is `ekyc sandbox`."""

from __future__ import annotations

from sandbox.cli import sandbox

if __name__ == "__main__":
    sandbox(prog_name="python -m sandbox")
