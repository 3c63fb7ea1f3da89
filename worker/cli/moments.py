"""Moments and spans of time, as people and machines read them."""

from __future__ import annotations

from datetime import UTC, datetime

_MINUTE_S = 60
_HOUR_S = 3600
_DAY_S = 86_400


def rfc3339(at_ms: int) -> str:
    """A moment in epoch milliseconds as RFC 3339, in UTC."""
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def span(seconds: float) -> str:
    """How long: `0.4 s`, `12 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`. What is below zero is `0 s`."""
    whole = round(max(seconds, 0))
    if whole < _MINUTE_S:
        return f"{max(seconds, 0):.1f} s" if 0 < seconds < 10 else f"{whole} s"  # noqa: PLR2004 - two digits
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S} min {whole % _MINUTE_S} s"
    if whole < _DAY_S:
        return f"{whole // _HOUR_S} h {whole % _HOUR_S // _MINUTE_S} min"
    return f"{whole // _DAY_S} d {whole % _DAY_S // _HOUR_S} h"
