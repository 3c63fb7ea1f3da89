"""Check of erasures: one that was killed at its beginning is ended by a person alone."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from worker.cli.checks.finding import Finding, Level
from worker.errors import LedgerUnavailable
from worker.ledger.connection import connect
from worker.ledger.erasures import Erasures
from worker.records.erasure import begun_text, begun_todo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.settings import Settings

_NAME: Final = "erasures"


def check_erasures(settings: Settings) -> Iterator[Finding]:
    """Yield a warning for each region with erasures that have begun and not ended.

    If Redis does not answer, `check_ledger` reports that.
    """
    with suppress(LedgerUnavailable), connect(settings.redis_url) as redis:
        found = Erasures(redis).unended(settings.regions)
        for region, each in found.items():
            yield Finding(_NAME, Level.WARNING, begun_text(region, each), begun_todo(region, each))
        if not found:
            yield Finding(_NAME, Level.OK, "each that has begun has ended")
