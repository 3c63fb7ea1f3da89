"""`python -m tests.chaos`."""

from __future__ import annotations

from tests.chaos.cli import main

main()
