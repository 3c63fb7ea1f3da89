"""Check for regions on hold: a healthy fleet that polls nothing looks like a broken one."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from worker.cli.checks.finding import Finding, Level
from worker.errors import LedgerUnavailable
from worker.ledger import Stats
from worker.ledger.connection import connect
from worker.policy.time_format import hold_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.settings import Settings


def check_holds(settings: Settings) -> Iterator[Finding]:
    """Yield a warning for each region on hold. If Redis does not answer, `check_ledger` reports that."""
    with suppress(LedgerUnavailable), connect(settings.redis_url) as redis:
        for hold in Stats(redis).total(settings.regions).holds:
            todo = f"once its cause is gone, `ekyc resume {hold.region}` ends the hold"
            yield Finding(f"region {hold.region}", Level.WARNING, hold_text(hold), todo)
