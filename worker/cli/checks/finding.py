"""The result of a check, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """The severity of a finding."""

    OK = "ok"
    #: It works, but something may go wrong later.
    WARNING = "warning"
    #: It does not work, or a guarantee of the fleet does not hold.
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `ekyc doctor`."""

    check: str
    level: Level
    said: str
    #: What to do about it; "" if nothing.
    todo: str = ""
