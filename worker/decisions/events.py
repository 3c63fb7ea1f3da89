"""What endpoints get beside decisions: events, which they ask for by name, and tests."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from schemas.decision import decision_id
from worker.ledger.fields import Field
from worker.ledger.models import EvidenceState
from worker.ledger.transitions import Destination
from worker.ledger.webhooks import NewDelivery, delivery_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.decisions.endpoints import Endpoint
    from worker.ledger.transitions import Transition

#: The type of a test, which every endpoint takes.
TEST: Final = "endpoint.test"

QUARANTINED: Final = "verification.quarantined"
RELEASED: Final = "verification.released"
EVIDENCE_COMPLETED: Final = "evidence.completed"
REGION_HELD: Final = "region.held"
REGION_RESUMED: Final = "region.resumed"
ENDPOINT_PAUSED: Final = "endpoint.paused"
LEDGER_REPLACED: Final = "ledger.replaced"

#: The reason of what a person did.
BY_HAND: Final = "BY_HAND"


def delivery_of_test(endpoint: str, test_id: str, now: datetime) -> NewDelivery:
    """A test for one endpoint."""
    return _delivery(endpoint, TEST, test_id, {"at": rfc3339(now)})


def of_transition(endpoints: Mapping[str, Endpoint], region: str, transition: Transition) -> Transition:
    """A transition with the events that it is about, recorded in the same step. Without one: the transition itself."""
    events: tuple[NewDelivery, ...] = ()
    signature_id = transition.signature_id
    if transition.place is Destination.QUARANTINE:
        events = of_verification(endpoints, QUARANTINED, region, signature_id, reason=transition.reason)
    elif _completes(transition):
        events = of_verification(endpoints, EVIDENCE_COMPLETED, region, signature_id)
    return replace(transition, events=events) if events else transition


def _completes(transition: Transition) -> bool:
    """Whether the evidence is complete now of a verification that was decided without its images."""
    return (
        transition.place is Destination.DONE
        and transition.event == "archived"
        and transition.fields.get(Field.EVIDENCE) == EvidenceState.COMPLETE.value
    )


def of_verification(
    endpoints: Mapping[str, Endpoint], name: str, region: str, signature_id: str, **fields: Any
) -> tuple[NewDelivery, ...]:
    """The deliveries of a new event about a verification, to the endpoints that ask for it."""
    about = {"region": region, "signature_id": signature_id, "decision_id": decision_id(region, signature_id)}
    return _deliveries(endpoints, name, about | fields)


def of_region(
    endpoints: Mapping[str, Endpoint], name: str, region: str, **fields: Any
) -> tuple[NewDelivery, ...]:
    """The deliveries of a new event about a region, to the endpoints that ask for it."""
    return _deliveries(endpoints, name, {"region": region} | fields)


def rfc3339(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _deliveries(
    endpoints: Mapping[str, Endpoint], name: str, fields: Mapping[str, Any]
) -> tuple[NewDelivery, ...]:
    takers = [endpoint.name for endpoint in endpoints.values() if name in endpoint.events]
    if not takers:
        return ()
    id_, at = str(uuid.uuid4()), {"at": rfc3339(datetime.now(UTC))}
    return tuple(_delivery(taker, name, id_, at | dict(fields)) for taker in takers)


def _delivery(endpoint: str, name: str, id_: str, fields: Mapping[str, Any]) -> NewDelivery:
    body = json.dumps({"type": name, "id": id_} | dict(fields), ensure_ascii=False, separators=(",", ":"))
    return NewDelivery(delivery_id(endpoint, id_), endpoint, name, body)
