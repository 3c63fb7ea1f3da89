"""Formats of moments and durations, for people and machines."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from worker.ledger.moments import rfc3339

if TYPE_CHECKING:
    from worker.ledger.models import Hold

_MINUTE_S = 60
_HOUR_S = 3600
_DAY_S = 86_400

_SPAN: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)([smhd]?)")
_UNITS_S: Final = {"": 1, "s": 1, "m": _MINUTE_S, "h": _HOUR_S, "d": _DAY_S}


def hold_text(hold: Hold) -> str:
    """Describe the state of a region on hold, or half-open after it."""
    if hold.half_open:
        return f"is half-open, a single verification probes the vendor: {hold.reason}"
    return f"is on hold until {rfc3339(hold.until_ms)}: {hold.reason}"


def span(seconds: float) -> str:
    """Format a duration: `0.4 s`, `12 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`. Below zero it is `0 s`."""
    whole = round(max(seconds, 0))
    if whole < _MINUTE_S:
        return f"{max(seconds, 0):.1f} s" if 0 < seconds < 10 else f"{whole} s"  # noqa: PLR2004 - two digits
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S} min {whole % _MINUTE_S} s"
    if whole < _DAY_S:
        return f"{whole // _HOUR_S} h {whole % _HOUR_S // _MINUTE_S} min"
    return f"{whole // _DAY_S} d {whole % _DAY_S // _HOUR_S} h"


def seconds(text: str) -> float:
    """Parse a duration such as `30s`, `10m`, `1.5h` or `7d`; a bare number is seconds. Raises ``ValueError``."""
    found = _SPAN.fullmatch(text.strip().lower())
    if found is None:
        raise ValueError("must be a time such as 30s, 10m or 2h")
    return float(found[1]) * _UNITS_S[found[2]]
