"""What a check found, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    #: It works, and something may go wrong one day.
    WARNING = "warning"
    #: It does not work, or promises are not kept.
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `ekyc doctor`."""

    check: str
    level: Level
    said: str
    #: What to do about it; "" where nothing is.
    todo: str = ""
