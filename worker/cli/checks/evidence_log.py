"""Check the log of evidence: its key, its newest checkpoint, and what waits for it."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from worker.cli.checks.finding import Finding, Level
from worker.cli.checks.folder import missing
from worker.errors import (
    EvidenceConflict,
    EvidenceKeyUnknown,
    EvidenceUnavailable,
    InvalidInput,
    LedgerUnavailable,
    LogDamaged,
)
from worker.evidence.log.commits import RegionLog
from worker.evidence.log.log_keys import LogKeys
from worker.evidence.log.sequencer import candidate_of
from worker.evidence.store import Evidence
from worker.ledger.connection import connect
from worker.ledger.evidence_log import EvidenceLogQueue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.ledger.evidence_log import LogState
    from worker.settings import Settings

NAME: Final = "evidence log"

#: Seconds after which what waits is a finding. Workers need less than one minute.
LATE_S: Final = 600.0

#: Seconds after which it is one if it cannot be opened, and how many of those that wait are opened to see that.
UNOPENED_S: Final = 60.0
MOST_OPENED: Final = 20


def check_evidence_log(settings: Settings) -> Iterator[Finding]:
    """Check the key of the log, and each region's log. Raises ``ConfigError``."""
    keys = LogKeys.for_signing(settings.log_key)
    if keys is None:
        said = "EKYC_LOG_KEY is not set: a change of evidence by people who can write its store does not show"
        yield Finding(
            NAME, Level.WARNING, said, "see docs/evidence-log.md: `ekyc evidence keygen --log NAME FILE`"
        )
        return
    path = os.environ.get("EKYC_LOG_KEY_FILE")
    if path and Path(path).stat().st_mode & stat.S_IROTH:
        said = "every account of this machine can read EKYC_LOG_KEY_FILE"
        yield Finding(NAME, Level.WARNING, said, "take the right from others: chmod o-rwx")
    yield Finding(NAME, Level.OK, f"signed by {keys}")
    # The store and Redis have checks of their own.
    with suppress(EvidenceUnavailable, LedgerUnavailable), connect(settings.redis_url) as redis:
        queue = EvidenceLogQueue(redis)
        for region in settings.regions:
            state = queue.state(region)
            if missing(settings.evidence_url):
                yield from _waiting(region, state)
                continue
            evidence = Evidence.from_settings(settings, must_exist=True, may_be_empty=True)
            why = _unopened(evidence, queue, region) if state.oldest_pending_s > UNOPENED_S else ""
            yield from _waiting(region, state, why)
            yield from _published(RegionLog(evidence.backend, region, keys), state.seen.size)


def _unopened(evidence: Evidence, queue: EvidenceLogQueue, region: str) -> str:
    """Return why some of what has waited longest cannot be logged from here; empty: it can."""
    for queued in queue.pending(region, MOST_OPENED):
        try:
            candidate = candidate_of(evidence, region, queued.signature_id)
        except (EvidenceConflict, EvidenceKeyUnknown, InvalidInput) as error:
            return str(error)
        if candidate is not None and candidate.doubt:
            return candidate.doubt
    return ""


def _waiting(region: str, state: LogState, why: str = "") -> Iterator[Finding]:
    """`why`: why some of it cannot be logged from here."""
    if state.fault:
        said = f"{region}: the log was changed, cut off or rolled back: nothing is added to it"
        yield Finding(NAME, Level.ERROR, said, "see docs/evidence-log.md#when-the-log-does-not-verify")
    elif state.oldest_pending_s > (UNOPENED_S if why or state.unopened else LATE_S):
        said = (
            f"{region}: {state.pending} verifications wait for the log, since {state.oldest_pending_s:.0f} s"
        )
        todo = "is a worker running with EKYC_LOG_KEY? See its log"
        if state.unopened:
            said += f"; workers cannot log {state.unopened} of them"
        if why:
            said += (
                f"; nor can it be logged from here: {why}"
                if state.unopened
                else f"; not all can be logged from here: {why}"
            )
        if why or state.unopened:
            todo = (
                "if a key is missing, find it, and throw none away: docs/runbooks.md#ekycevidencekeymissing"
            )
        yield Finding(NAME, Level.WARNING, said, todo)


def _published(log: RegionLog, seen: int) -> Iterator[Finding]:
    try:
        checkpoint = log.checkpoint()
    except LogDamaged as error:
        todo = f"run `ekyc evidence verify --region {log.region}`"
        yield Finding(NAME, Level.ERROR, f"{error}", todo)
        return
    size = checkpoint.size if checkpoint else 0
    if size < seen:
        said = f"{log.region}: the checkpoint has {size} entries, and the ledger has seen {seen}"
        yield Finding(NAME, Level.WARNING, said, f"run `ekyc evidence verify --region {log.region}`")
