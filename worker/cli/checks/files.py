"""Checks of files: the evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.cli.checks.finding import Finding, Level
from worker.cli.checks.folder import missing, to_be_made
from worker.evidence.store import Evidence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.settings import Settings


def check_evidence(settings: Settings) -> Iterator[Finding]:
    """Check that evidence can be written and read. Raises ``ConfigError`` and ``EvidenceUnavailable``."""
    settings.require_evidence()
    for url in (settings.evidence_url, settings.evidence_keys_url if settings.evidence_keys else ""):
        if folder := missing(url):
            yield to_be_made(folder)
            return
    Evidence.from_settings(settings).check(note=False)
    yield Finding("evidence", Level.OK, f"can be written and read at {settings.evidence_url}")
