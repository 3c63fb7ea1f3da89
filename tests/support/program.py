"""Runs a program that a test gives as text: ``python -m tests.support.program TEXT [ARGUMENT …]``."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    text = sys.argv.pop(1)
    exec(compile(text, "<program>", "exec"), {"__name__": "__main__"})
