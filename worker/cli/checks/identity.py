"""Check that Redis holds the ledger that the evidence store knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.cli.checks.finding import Finding, Level
from worker.cli.checks.folder import missing
from worker.cli.ledger import replacements
from worker.evidence.ledger_identity import check_store
from worker.evidence.store import Evidence
from worker.ledger import Ledger
from worker.ledger.connection import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.settings import Settings


def check_identity(settings: Settings) -> Iterator[Finding]:
    """Check each region's ledger. Raises ``ConfigError``, ``LedgerUnavailable`` and ``EvidenceUnavailable``."""
    settings.require_evidence()
    if missing(settings.evidence_url):
        return
    evidence = Evidence.from_settings(settings, must_exist=True, may_be_empty=True)
    with connect(settings.redis_url) as redis:
        check_store(Ledger(redis), evidence, settings.regions)
        found = replacements(redis, evidence, settings.regions)
    for replacement in found:
        todo = "workers claim nothing: find out what happened to the old Redis, then run `ekyc ledger accept`"
        yield Finding("ledger", Level.ERROR, replacement.described, todo)
    if not found:
        yield Finding("ledger", Level.OK, "every region has the ledger that the evidence store knows")
