"""The keys that sign deliveries: those of this configuration, and those of the workers that run."""

from __future__ import annotations

import os
import stat
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from worker.cli.checks.finding import Finding, Level
from worker.errors import LedgerUnavailable
from worker.ledger.connection import connect
from worker.ledger.worker_registry import WorkerRegistry
from worker.signatures import key_ids

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.ledger.worker_registry import Worker
    from worker.settings import Settings


def check_signing_key(settings: Settings) -> Iterator[Finding]:
    """Which keys sign, and whether other accounts can read their file."""
    ids = key_ids(settings.signing_key)
    path = os.environ.get("EKYC_SIGNING_KEY_FILE")
    if not ids:
        said = "EKYC_SIGNING_KEY is not set: any client that can write to the broker can send decisions"
        yield Finding("signing key", Level.OK, said)
    elif path and Path(path).stat().st_mode & stat.S_IROTH:
        said = f"deliveries are signed by {ids}, but every account of this machine can read EKYC_SIGNING_KEY_FILE"
        yield Finding("signing key", Level.WARNING, said, "take the right from others: chmod o-rwx")
    else:
        yield Finding("signing key", Level.OK, f"deliveries are signed by {ids}")


def check_fleet_keys(settings: Settings) -> Iterator[Finding]:
    """Whether the workers that run sign with the keys of this configuration. Without Redis, or workers: nothing."""
    workers: tuple[Worker, ...] = ()
    # Redis has a check of its own.
    with suppress(LedgerUnavailable), connect(settings.redis_url) as redis:
        workers = WorkerRegistry(redis).present()
    yield from fleet_keys(workers, key_ids(settings.signing_key))


def fleet_keys(workers: tuple[Worker, ...], ours: str) -> Iterator[Finding]:
    """A warning if workers sign with other keys than `ours`: pipelines refuse decisions that they cannot verify."""
    found = Counter(each.signing for each in workers)
    if found and set(found) != {ours}:
        said = ", ".join(f"{count} with {ids or 'none'}" for ids, count in sorted(found.items()))
        yield Finding(
            "fleet signing keys",
            Level.WARNING,
            f"workers: {said}; here it is {ours or 'none'}",
            "give every worker, and this command, the same EKYC_SIGNING_KEY, and restart those that differ",
        )
