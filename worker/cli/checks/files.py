"""Checks of files: the decision table and the evidence."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from worker.cli.checks.finding import Finding, Level
from worker.cli.checks.folder import missing, to_be_made
from worker.decisions.table import Table
from worker.evidence.store import Evidence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.settings import Settings


def check_decisions(settings: Settings) -> Iterator[Finding]:
    """Check the decision table. Raises ``ConfigError`` if it cannot be used."""
    table = Table.load(settings.decisions_file)
    place = settings.decisions_file or "packaged"
    yield Finding("decision table", Level.OK, f"version {table.version} ({place})")
    if settings.decisions_file:
        yield from compare(table, Table.load(None))


def compare(table: Table, packaged: Table) -> Iterator[Finding]:
    """Yield warnings about the differences between a custom table and the packaged one."""
    if table != packaged and table.version == packaged.version:
        yield Finding(
            "decision version",
            Level.WARNING,
            f"differs from the packaged table but has its version {table.version}: decisions do not show which is used",
            f'give it its own version, such as version = "{table.version}-{_changed(table)}"',
        )
    for name in sorted(table.decisions - packaged.decisions):
        yield Finding(
            f"decision {name}",
            Level.WARNING,
            f"the packaged table has no decision {name}: the pipeline needs a task onboarding.{name}",
            f"before workers start with this table, check that the pipeline handles onboarding.{name}; "
            "correct the name if it is misspelt",
        )


def _changed(table: Table) -> str:
    """Return a short hash of a table's content."""
    rows = sorted((*pair, decision) for pair, decision in table.rows.items())
    return sha256(repr((rows, sorted(table.reasons.items()), table.otherwise)).encode()).hexdigest()[:6]


def check_evidence(settings: Settings) -> Iterator[Finding]:
    """Check that evidence can be written and read. Raises ``ConfigError`` and ``EvidenceUnavailable``."""
    settings.require_evidence()
    if folder := missing(settings.evidence_url):
        yield to_be_made(folder)
        return
    Evidence(settings.evidence_url).check()
    yield Finding("evidence", Level.OK, f"can be written and read at {settings.evidence_url}")
