"""Regions on hold: a fleet that works and does nothing looks like one that is broken."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from worker.cli.checks.finding import Finding, Level
from worker.cli.time_format import hold_text
from worker.errors import LedgerUnavailable
from worker.ledger import Stats
from worker.ledger.connection import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.settings import Settings


def check_holds(settings: Settings) -> Iterator[Finding]:
    """A warning for each region on hold. None where Redis does not answer: another check reports that."""
    with suppress(LedgerUnavailable), connect(settings.redis_url) as redis:
        for hold in Stats(redis).total(settings.regions).holds:
            todo = f"once its cause is gone, `ekyc resume {hold.region}` ends the rest"
            yield Finding(f"region {hold.region}", Level.WARNING, hold_text(hold), todo)
