"""What a Python pipeline calls; it needs no package but `redis`. When it returns, the verification is accepted.

    from worker.client import enqueue
    enqueue("f302f5d2454a85c2", "ph", context={"application": 42})

`REDIS_URL` says which ledger.
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
      context: JSON that comes back in the decision, at most 4 KB; nothing personal, it lives in Redis.

    Returns True if it is new, False if it was known already: then nothing changed.
    Raises ``InvalidInput``: nothing was accepted; and ``LedgerUnavailable``: Redis did not answer, and it may have been
    accepted all the same. Enqueue it again: a known one changes nothing.
    """
    return enqueue_many([request(signature_id, region, context)])[0]


def enqueue_many(requests: Sequence[EnqueueRequest]) -> list[bool]:
    """Enqueue many in a few round trips. Returns and raises as `enqueue` does; made for some thousands a call.

    After ``LedgerUnavailable`` some may have been accepted: enqueue the same ones again, known ones change nothing.
    """
    return ledger().enqueue(requests)


def nudge(signature_id: str, region: str) -> bool:
    """Poll this one now, because somebody says that its result is ready. False if it was not waiting for one."""
    return ledger().nudge(canonical_region(region), [signature_id])[0]


def request(signature_id: str, region: str, context: Any = None) -> EnqueueRequest:
    """A checked request. Raises ``InvalidInput`` with the field and the fault, never the value."""
    given = {"signature_id": signature_id, "region": region, "context": context}
    accepted = {}
    for field, rule in RULES.items():
        try:
            accepted[field] = rule(given[field])
        except ValueError as error:
            raise InvalidInput(f"{field}: {error}") from None
    return polled(EnqueueRequest(**accepted))


def polled(accepted: EnqueueRequest) -> EnqueueRequest:
    """The same request. Raises ``InvalidInput`` where the fleet does not poll its region."""
    if accepted.region not in current().regions:
        raise InvalidInput(f"region: {accepted.region} is not in ADVANCE_REGIONS, so nobody would poll it")
    return accepted
