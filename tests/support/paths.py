"""Paths of this repository."""

from __future__ import annotations

from pathlib import Path
from typing import Final

#: The folder that has `worker/` and `tests/`.
ROOT: Final = Path(__file__).parents[2]
