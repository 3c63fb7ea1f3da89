"""The client for Python pipelines. It needs no package except `redis`. When a call returns, Redis has accepted it.

    from worker.client import enqueue
    enqueue("f302f5d2454a85c2", "ph", context={"application": 42})

`REDIS_URL` selects the ledger.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from worker.enqueue_request import RULES, EnqueueRequest, canonical_region
from worker.errors import InvalidInput
from worker.ledger import Ledger
from worker.ledger.connection import connect
from worker.settings import current

if TYPE_CHECKING:
    from collections.abc import Sequence


@cache
def ledger() -> Ledger:
    """The ledger that `REDIS_URL` names, for this process. Raises ``ConfigError``."""
    return Ledger(connect(current().redis_url))


def enqueue(signature_id: str, region: str, context: Any = None) -> bool:
    """Bring a verification to a decision.

    Parameters:
      signature_id: 1 to 64 of letters, digits, `-` and `_`.
      region: `sg`, `ph`, `th`, `my`, `vn`, or `global` (alias `id`).
      context: JSON that the decision returns, at most 4 KB. Redis stores it: put no personal data in it.

    Returns True if the verification is new, False if the ledger already has it and nothing changed.
    Raises ``InvalidInput`` if nothing was accepted, and ``LedgerUnavailable`` if Redis did not answer: it may still
    have accepted the verification. Enqueue it again: a known verification does not change.
    """
    return enqueue_many([request(signature_id, region, context)])[0]


def enqueue_many(requests: Sequence[EnqueueRequest]) -> list[bool]:
    """Enqueue up to some thousands of verifications in a few round trips. Returns and raises as `enqueue` does.

    After ``LedgerUnavailable`` some may have been accepted: enqueue the same requests again.
    """
    return ledger().enqueue(requests)


def nudge(signature_id: str, region: str) -> bool:
    """Poll a verification now, because its result is ready. Returns False if it was not waiting for a result."""
    return ledger().nudge(canonical_region(region), [signature_id])[0]


def request(signature_id: str, region: str, context: Any = None) -> EnqueueRequest:
    """Return a checked request. Raises ``InvalidInput`` with the field and the fault, never the value."""
    given = {"signature_id": signature_id, "region": region, "context": context}
    accepted = {}
    for field, rule in RULES.items():
        try:
            accepted[field] = rule(given[field])
        except ValueError as error:
            raise InvalidInput(f"{field}: {error}") from None
    return polled(EnqueueRequest(**accepted))


def polled(accepted: EnqueueRequest) -> EnqueueRequest:
    """Return the same request. Raises ``InvalidInput`` if the fleet does not poll its region."""
    if accepted.region not in current().regions:
        raise InvalidInput(f"region: {accepted.region} is not in ADVANCE_REGIONS, so no worker would poll it")
    return accepted
