"""The client for Python pipelines. It needs no package except `redis`. When a call returns, Redis has accepted it.

    from worker.client import enqueue
    enqueue("f302f5d2454a85c2", "ph", context={"application": 42})

`REDIS_URL` selects the ledger. `verify` checks the signature of a decision; it needs the package `cryptography`, too,
but no Redis.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from worker import signatures
from worker.enqueue_request import RULES, EnqueueRequest, canonical_region
from worker.errors import InvalidInput, SignatureRefused
from worker.ledger import Ledger
from worker.ledger.connection import connect
from worker.settings import current

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Seconds after a decision until which `verify` accepts it: it may wait on a queue, or be delivered again.
MAX_AGE_S: Final = 30 * 86_400.0


@cache
def ledger() -> Ledger:
    """The ledger that `REDIS_URL` names, for this process. Raises ``ConfigError``."""
    return Ledger(connect(current().redis_url))


def enqueue(signature_id: str, region: str, context: Any = None, pipeline: str | None = None) -> bool:
    """Bring a verification to a decision.

    Parameters:
      signature_id: 1 to 64 of letters, digits, `-` and `_`.
      region: `sg`, `ph`, `th`, `my`, `vn`, or `global` (alias `id`).
      context: JSON that the decision returns, at most 4 KB. Redis stores it: put no personal data in it.
      pipeline: 1 to 32 of a-z, digits, `-` and `_`. Pipelines that have something due get equal shares of a region's
        polls; all that name none are the pipeline `default`.

    Returns True if the verification is new, False if the ledger already has it and nothing changed.
    Raises ``InvalidInput`` if nothing was accepted, and ``LedgerUnavailable`` if Redis did not answer: it may still
    have accepted the verification. Enqueue it again: a known verification does not change.
    """
    return enqueue_many([request(signature_id, region, context, pipeline)])[0]


def enqueue_many(requests: Sequence[EnqueueRequest]) -> list[bool]:
    """Enqueue up to some thousands of verifications in a few round trips. Returns and raises as `enqueue` does.

    After ``LedgerUnavailable`` some may have been accepted: enqueue the same requests again.
    """
    return ledger().enqueue(requests)


def nudge(signature_id: str, region: str) -> bool:
    """Poll a verification now, because its result is ready. Returns False if it was not waiting for a result."""
    return ledger().nudge(canonical_region(region), [signature_id])[0]


def verify(
    task: Any,
    decision: Mapping[str, Any],
    *,
    keys: str | Sequence[str],
    name: str | None = None,
    max_age_s: float = MAX_AGE_S,
) -> str:
    """Check that the fleet made this decision for this task. Returns its id, which is the same for every delivery.

    A broker lets every client that can write to the queue send tasks. The signature in the headers of a message shows
    that it is from the fleet: it covers the id, the name of the task and all of the decision. A copy of a decision has
    a valid signature, too, so remember the ids of decisions for at least `max_age_s`.

    Parameters:
      task: the bound task, or the headers of its request (`self.request.headers`); then give `name`, too.
      decision: the argument of the task, unchanged.
      keys: the public keys of the fleet (`whpk_…`), one text or several. Pin them: do not read them from the broker.
      name: the name of the task; by default that of the bound task.
      max_age_s: seconds after the decision was made until which it is accepted.

    Raises ``SignatureRefused`` with the reason, ``InvalidInput`` for keys that cannot be read, and ``ConfigError``
    without the package `cryptography`.
    """
    bound = not hasattr(task, "items")
    name = name or (task.name if bound else None)
    if not name:
        raise InvalidInput("name: give the name of the task, because headers do not have it")
    try:
        public = signatures.parse_public_keys(keys if isinstance(keys, str) else "\n".join(keys))
        body = signatures.task_body(name, decision)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"keys or decision: {error}") from None
    headers = (task.request.headers or {}) if bound else task
    verifier = signatures.Verifier(public_keys=public, tolerance_s=max_age_s)
    message_id = verifier.verify(headers, body)
    if bound and task.request.id != message_id:
        raise SignatureRefused(SignatureRefused.WRONG, "the signature is for another task id")
    return message_id


def request(
    signature_id: str, region: str, context: Any = None, pipeline: str | None = None
) -> EnqueueRequest:
    """Return a checked request. Raises ``InvalidInput`` with the field and the fault, never the value."""
    given = {"signature_id": signature_id, "region": region, "context": context, "pipeline": pipeline}
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
