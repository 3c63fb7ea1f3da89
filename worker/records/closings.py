"""Closing times on their way from the ledger, where `web` notes them, to the evidence store, where they stay."""

from __future__ import annotations

from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING, Final

import structlog

from worker.errors import EvidenceConflict, EvidenceUnavailable, InvalidInput
from worker.evidence.keys import Tombstone
from worker.ledger.erasures import CLOSINGS_AT_ONCE, TURN_S, Closing

if TYPE_CHECKING:
    from worker.evidence.store import Evidence
    from worker.ledger.erasures import Erasures

_log: Final = structlog.get_logger(__name__)

#: For how long a worker goes on to the next closing after one that cannot be stored: its turn must not end meanwhile.
LONGEST_S: Final = TURN_S / 2


def store(evidence: Evidence, ledger: Erasures, region: str) -> int:
    """Store the closing times that wait, if it is this worker's turn, and return how many waited.

    A time is removed from the ledger after it is durable in the store, so a crash repeats it. One that cannot be stored
    waits for the next call, and does not hold back the others. Raises ``LedgerUnavailable``, and
    ``EvidenceUnavailable`` if one could not be stored.
    """
    total, until = 0, monotonic() + LONGEST_S
    failed: dict[Closing, EvidenceUnavailable] = {}
    is_last = False
    while not is_last:
        # Those that failed come first again, because they are still there.
        limit = CLOSINGS_AT_ONCE + len(failed)
        waiting = ledger.closings(region, limit=limit, removed=lambda count: _removed(region, count))
        if not waiting:
            break
        is_last = len(waiting) < limit
        done: list[Closing] = []
        try:
            for each in waiting:
                if each in failed:
                    continue
                try:
                    _store_one(evidence, region, each)
                except EvidenceUnavailable as away:
                    failed[each] = away
                    if monotonic() > until:
                        # Probably the store itself is away, and each attempt takes long.
                        is_last = True
                        break
                else:
                    done.append(each)
        finally:
            ledger.closings_stored(region, done)
        total += len(done)
    for closing, error in failed.items():
        # What the store says need not name the verification.
        raise EvidenceUnavailable(f"{region}/{closing.signature_id}: {error}") from error
    return total


def close(evidence: Evidence, region: str, signature_id: str, at: datetime) -> datetime:
    """Store when a business relationship ended, and return the time that counts.

    Raises ``InvalidInput`` for a verification without evidence, or that is erased.
    """
    lifecycle = evidence.lifecycle(region, signature_id)
    key = lifecycle.key()
    if isinstance(key, Tombstone):
        raise InvalidInput(f"{region}/{signature_id} was erased at {key.at}")
    if key is None and not lifecycle.objects():
        raise InvalidInput(f"{region}/{signature_id} has no evidence")
    return lifecycle.close(at)


def _removed(region: str, count: int) -> None:
    _log.error("closings_removed", region=region, count=count)


def _store_one(evidence: Evidence, region: str, closing: Closing) -> None:
    about = {"region": region, "signature_id": closing.signature_id}
    try:
        at = close(evidence, region, closing.signature_id, datetime.fromtimestamp(closing.at_ms / 1000, UTC))
    except InvalidInput as error:
        _log.warning("closing_ignored", **about, why=str(error).partition(" ")[2])
    except EvidenceConflict as error:
        _log.error("closing_ignored", **about, why=error.reason)
    else:
        _log.info("closing_stored", **about, closed_at=at.isoformat())
