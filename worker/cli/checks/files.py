"""What is read from and written to files: the decision table and the evidence."""

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
    """Raises ``ConfigError`` for a table that cannot be used."""
    table = Table.load(settings.decisions_file)
    place = settings.decisions_file or "packaged"
    yield Finding("decision table", Level.OK, f"version {table.version} ({place})")
    if settings.decisions_file:
        yield from compare(table, Table.load(None))


def compare(table: Table, packaged: Table) -> Iterator[Finding]:
    """Warnings about what a table of one's own has, compared with the packaged one."""
    if table != packaged and table.version == packaged.version:
        yield Finding(
            "decision version",
            Level.WARNING,
            f"differs from the packaged table and has its version {table.version}: no decision tells which one made it",
            f'give it a version of its own, such as version = "{table.version}-{_changed(table)}"',
        )
    for name in sorted(table.decisions - packaged.decisions):
        yield Finding(
            f"decision {name}",
            Level.WARNING,
            f"{name} is a decision that the packaged table does not have: the pipeline needs a task onboarding.{name}",
            f"before workers start with this table, check that the pipeline handles onboarding.{name}; "
            "correct the name if it is a slip",
        )


def _changed(table: Table) -> str:
    """A word that differs for tables that differ."""
    rows = sorted((*pair, decision) for pair, decision in table.rows.items())
    return sha256(repr((rows, sorted(table.reasons.items()), table.otherwise)).encode()).hexdigest()[:6]


def check_evidence(settings: Settings) -> Iterator[Finding]:
    """Raises ``ConfigError`` and ``EvidenceUnavailable``."""
    settings.require_evidence()
    if folder := missing(settings.evidence_url):
        yield to_be_made(folder)
        return
    Evidence(settings.evidence_url).check()
    yield Finding("evidence", Level.OK, f"can be written and read at {settings.evidence_url}")
