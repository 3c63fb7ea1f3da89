"""Checks of files: the evidence."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from worker.cli.checks.finding import Finding, Level
from worker.cli.checks.folder import missing, to_be_made
from worker.errors import ConfigError, LedgerUnavailable
from worker.evidence.ledger_identity import check_store
from worker.evidence.store import Evidence
from worker.ledger import Ledger
from worker.ledger.connection import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.settings import Settings


def check_evidence(settings: Settings) -> Iterator[Finding]:
    """Check that evidence can be written and read. Raises ``ConfigError`` and ``EvidenceUnavailable``.

    First, that it is the store which the ledger knows: nothing is written to another.
    """
    settings.require_evidence()
    _check_store(settings)
    for url in (settings.evidence_url, settings.evidence_keys_url if settings.evidence_keys else ""):
        if folder := missing(url):
            yield to_be_made(folder)
            return
    Evidence.from_settings(settings).check(note=False)
    yield Finding("evidence", Level.OK, f"can be written and read at {settings.evidence_url}")


def _check_store(settings: Settings) -> None:
    """Raise ``EvidenceUnsuitable`` if the ledger knows another evidence store. Redis has a check of its own."""
    evidence = Evidence.from_settings(settings, creates=False)
    try:
        redis = connect(settings.redis_url)
    except ConfigError:
        return
    with suppress(LedgerUnavailable), redis:
        check_store(Ledger(redis), evidence, settings.regions)
