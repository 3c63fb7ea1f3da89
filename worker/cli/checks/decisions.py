"""The decision table of this configuration, its shadow table, and the tables of the workers that run."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

from worker.cli.checks.finding import Finding, Level
from worker.decisions.check import check
from worker.decisions.endpoints import load as load_endpoints
from worker.decisions.table import Source, Table
from worker.errors import ConfigError, LedgerUnavailable
from worker.ledger.connection import connect
from worker.ledger.worker_registry import WorkerRegistry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from worker.ledger.worker_registry import Worker
    from worker.settings import Settings


def check_decisions(settings: Settings) -> Iterator[Finding]:
    """Raises ``ConfigError`` for a table that cannot be used."""
    yield from _check(settings, "decision table", settings.decisions_file)


def check_shadow(settings: Settings) -> Iterator[Finding]:
    """Raises ``ConfigError`` for a table that cannot be used."""
    if settings.decisions_shadow is not None:
        yield from _check(settings, "shadow table", settings.decisions_shadow)


def check_fleet_tables(settings: Settings) -> Iterator[Finding]:
    """Whether the workers that run decide by the tables of this configuration. Without Redis, or workers: nothing."""
    found: list[Finding] = []
    # Redis and the tables have checks of their own.
    with suppress(LedgerUnavailable, ConfigError), connect(settings.redis_url) as redis:
        shadow = settings.decisions_shadow
        found = list(
            fleet_tables(
                WorkerRegistry(redis).present(),
                Table.load(settings.decisions_file),
                Table.load(shadow) if shadow else None,
            )
        )
    yield from found


def fleet_tables(workers: tuple[Worker, ...], table: Table, shadow: Table | None) -> Iterator[Finding]:
    """One line about the decision tables of `workers`, and one about their shadow tables."""
    if not workers:
        return
    for name, found, ours in (
        ("fleet tables", Counter(each.table for each in workers), table.version),
        ("fleet shadow tables", Counter(each.shadow for each in workers), shadow.version if shadow else ""),
    ):
        if set(found) == {""} == {ours}:
            continue
        said = ", ".join(f"{count} with {version or 'none'}" for version, count in sorted(found.items()))
        if set(found) == {ours}:
            yield Finding(name, Level.OK, f"workers: {said}")
        else:
            yield Finding(
                name,
                Level.WARNING,
                f"workers: {said}; here it is {ours or 'none'}",
                "give every worker the same file and settings as this command, and restart those that differ",
            )


def _check(settings: Settings, name: str, path: Path | None) -> Iterator[Finding]:
    endpoints = load_endpoints(settings.endpoints_file, with_secrets=False)
    table = Table.load(path, endpoints)
    yield Finding(name, Level.OK, f"version {table.version} ({path or 'packaged'})")
    if path is None:
        return
    checked = check(Source.read(path), Table.load(None), endpoints)
    for finding in checked.findings:
        yield Finding(name, Level.WARNING, f"{checked.where(finding)}: {finding.said}", finding.cure)
