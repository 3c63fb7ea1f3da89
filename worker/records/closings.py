"""Closing times on their way from the ledger, where `web` notes them, to the evidence store, where they stay."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import structlog

from worker.errors import EvidenceConflict, InvalidInput
from worker.evidence.keys import Tombstone
from worker.ledger.erasures import CLOSINGS_AT_ONCE, Closing

if TYPE_CHECKING:
    from worker.evidence.store import Evidence
    from worker.ledger.erasures import Erasures

_log: Final = structlog.get_logger(__name__)


def store(evidence: Evidence, ledger: Erasures, region: str) -> int:
    """Store the closing times that wait, if it is this worker's turn, and return how many waited.

    A time is removed from the ledger after it is durable in the store, so a crash repeats it. Raises
    ``LedgerUnavailable`` and ``EvidenceUnavailable``.
    """
    done: list[Closing] = []
    total = 0
    while True:
        waiting = ledger.closings(region, removed=lambda count: _removed(region, count))
        if not waiting:
            return total
        try:
            for each in waiting:
                _store_one(evidence, region, each)
                done.append(each)
        finally:
            ledger.closings_stored(region, done)
        total += len(done)
        if len(waiting) < CLOSINGS_AT_ONCE:
            return total
        done = []


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
