"""The keys of evidence: whether there are any, and who can read them."""

from __future__ import annotations

import os
import stat
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from worker.cli.checks.finding import Finding, Level
from worker.errors import LedgerUnavailable
from worker.evidence import exposure
from worker.keyring import key_ids, parse_keys
from worker.ledger.connection import connect
from worker.ledger.worker_registry import WorkerRegistry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.ledger.worker_registry import Worker
    from worker.settings import Settings

NAME = "evidence keys"


def check_evidence_keys(settings: Settings) -> Iterator[Finding]:
    """Whether evidence is encrypted, and whether other accounts can read the file of the keys."""
    if line := exposure.warning(settings):
        yield Finding(NAME, Level.WARNING, line, "`ekyc evidence keygen` makes a key: docs/encryption.md")
    keyring = parse_keys(settings.evidence_keys)
    if keyring is None:
        return
    said = f"new evidence is encrypted under {keyring.current.id}; known keys: {keyring.ids}"
    path = os.environ.get("EKYC_EVIDENCE_KEYS_FILE")
    if path and Path(path).stat().st_mode & stat.S_IROTH:
        said += ", but every account of this machine can read EKYC_EVIDENCE_KEYS_FILE"
        yield Finding(NAME, Level.WARNING, said, "take the right from others: chmod o-rwx")
    else:
        yield Finding(NAME, Level.OK, said)


def check_fleet_evidence_keys(settings: Settings) -> Iterator[Finding]:
    """Whether the workers that run have the keys of this configuration. Without Redis, or workers: nothing."""
    workers: tuple[Worker, ...] = ()
    # Redis has a check of its own.
    with suppress(LedgerUnavailable), connect(settings.redis_url) as redis:
        workers = WorkerRegistry(redis).present()
    yield from fleet_evidence_keys(workers, key_ids(settings.evidence_keys))


def fleet_evidence_keys(workers: tuple[Worker, ...], ours: str) -> Iterator[Finding]:
    """A warning if workers have other keys than `ours`: what one of them encrypts, the others cannot open."""
    found = Counter(each.evidence_keys for each in workers)
    if not found or set(found) == {ours}:
        return
    said = ", ".join(f"{count} with {ids or 'none'}" for ids, count in sorted(found.items()))
    odd = ", ".join(sorted(each.name for each in workers if each.evidence_keys != ours)[:5])
    yield Finding(
        "fleet evidence keys",
        Level.WARNING,
        f"workers: {said}; here it is {ours or 'none'}; they differ on {odd}",
        "give every worker all of these keys, and throw none away: docs/runbooks.md#ekycevidencekeymissing",
    )
