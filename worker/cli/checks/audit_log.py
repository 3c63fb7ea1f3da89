"""Check of the audit log: a part that is full loses its oldest entries, and an act without an entry is refused."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from worker.cli.checks.finding import Finding, Level
from worker.errors import LedgerUnavailable
from worker.ledger import audit_state, keys
from worker.ledger.connection import connect
from worker.ledger.moments import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.ledger.audit_state import Part
    from worker.settings import Settings

_NAME: Final = "audit log"


def check_audit_log(settings: Settings) -> Iterator[Finding]:
    """Yield a warning for each part that is full, or nearly, or has refused an act within a day.

    If Redis does not answer, `check_ledger` reports that.
    """
    with suppress(LedgerUnavailable), connect(settings.redis_url) as redis:
        parts = audit_state.read(redis)
        now_ms = keys.now_ms(redis, next(iter(settings.regions)))
        found = [finding for part in parts for finding in _of(part, now_ms)]
        yield from found
        if not found:
            since_ms = audit_state.complete_since_ms(parts)
            reach = "it has no entry yet" if since_ms is None else f"complete since {_shown(since_ms)}"
            yield Finding(_NAME, Level.OK, f"no part is full: {reach}")


def _of(part: Part, now_ms: int) -> Iterator[Finding]:
    if part.refused_lately(now_ms):
        yield Finding(
            _NAME,
            Level.WARNING,
            f"{part.name}: took no entry, so an act was refused, last at {_shown(part.refused_at_ms)}",
            "find out what keeps Redis from adding to it (docs/runbooks.md#ekycauditlogrefuses)",
        )
    if part.is_nearly_full and part.since_ms is not None:
        # An older release does not count them.
        dropped = f", {part.dropped:,} older entries were pushed out" if part.dropped else ""
        state = (
            f"full, complete since {_shown(part.since_ms)}{dropped}"
            if part.is_full
            else f"{part.used:.0%} full, the oldest entry is of {_shown(part.since_ms)}"
        )
        yield Finding(
            _NAME,
            Level.WARNING,
            f"{part.name}: {state}",
            "`ekyc audit` shows who acts so often (docs/runbooks.md#ekycauditlogfull)",
        )


def _shown(at_ms: int) -> str:
    return f"{rfc3339(at_ms)[:19]}Z"
