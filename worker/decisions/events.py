"""What endpoints get beside decisions: events, which they ask for by name, and tests."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from schemas.decision import decision_id
from worker.ledger.fields import Field
from worker.ledger.models import EvidenceState
from worker.ledger.transitions import Destination
from worker.ledger.webhooks import NewDelivery, delivery_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from worker.decisions.endpoints import Endpoint
    from worker.evidence.review import Review
    from worker.ledger.transitions import Transition
    from worker.ledger.webhooks import Webhooks

#: The type of a test, which every endpoint takes.
TEST: Final = "endpoint.test"

QUARANTINED: Final = "verification.quarantined"
RELEASED: Final = "verification.released"
EVIDENCE_COMPLETED: Final = "evidence.completed"
REVIEWED: Final = "verification.reviewed"
REGION_HELD: Final = "region.held"
REGION_RESUMED: Final = "region.resumed"
ENDPOINT_PAUSED: Final = "endpoint.paused"
LEDGER_REPLACED: Final = "ledger.replaced"

_OF_ALL: Final = frozenset({"type", "id", "at"})
_OF_REGIONS: Final = _OF_ALL | {"region"}
_OF_VERIFICATIONS: Final = _OF_REGIONS | {"signature_id", "decision_id"}

#: The members of each event, as the published schemas have them.
MEMBERS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        TEST: _OF_ALL,
        QUARANTINED: _OF_VERIFICATIONS | {"reason"},
        RELEASED: _OF_VERIFICATIONS | {"outcome"},
        EVIDENCE_COMPLETED: _OF_VERIFICATIONS,
        REVIEWED: _OF_VERIFICATIONS | {"verdict", "review"},
        REGION_HELD: _OF_REGIONS | {"reason", "until"},
        REGION_RESUMED: _OF_REGIONS | {"reason"},
        ENDPOINT_PAUSED: _OF_REGIONS | {"endpoint", "reason"},
        LEDGER_REPLACED: _OF_REGIONS,
    }
)

#: The reason of what a person did.
BY_HAND: Final = "BY_HAND"

#: Why an endpoint is paused, as in ``record_deliveries.lua``: it answered 410, or has acknowledged nothing for long.
GONE: Final = "GONE"
FAILING: Final = "FAILING"

#: Why a region is resumed: its circuit breaker has closed.
VENDOR_ANSWERS: Final = "VENDOR_ANSWERS"


def delivery_of_test(endpoint: str, test_id: str, now: datetime) -> NewDelivery:
    """A test for one endpoint."""
    return _delivery(endpoint, TEST, test_id, {"at": rfc3339(now)})


def of_transition(endpoints: Mapping[str, Endpoint], region: str, transition: Transition) -> Transition:
    """A transition with the events that it is about, recorded in the same step. Without one: the transition itself."""
    if transition.trip:
        held = of_hold(endpoints, region, reason=transition.trip.reason)
        transition = replace(transition, held=held) if held else transition
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


def of_review(endpoints: Mapping[str, Endpoint], review: Review) -> tuple[NewDelivery, ...]:
    """The deliveries of the event about a stored review. The same review gives the same ids, so it is sent once.

    Neither the note nor the name of the reviewer leaves the fleet.
    """
    region, signature_id = review.region, review.signature_id
    about = {
        "at": rfc3339(review.at),
        "region": region,
        "signature_id": signature_id,
        "decision_id": decision_id(region, signature_id),
        "verdict": review.verdict.value,
        # Events have texts alone: see ``authenticity.is_event``.
        "review": str(review.number),
    }
    takers = [endpoint.name for endpoint in endpoints.values() if REVIEWED in endpoint.events]
    id_ = str(uuid.UUID(review.id))
    return tuple(_delivery(taker, REVIEWED, id_, about) for taker in takers)


def of_region(
    endpoints: Mapping[str, Endpoint], name: str, region: str, **fields: Any
) -> tuple[NewDelivery, ...]:
    """The deliveries of a new event about a region, to the endpoints that ask for it."""
    return _deliveries(endpoints, name, {"region": region} | fields)


def of_hold(endpoints: Mapping[str, Endpoint], region: str, *, reason: str) -> tuple[NewDelivery, ...]:
    """The deliveries of an event about a hold. The step that records them knows when it ends, and sets `until`."""
    return of_region(endpoints, REGION_HELD, region, reason=reason, until=None)


def of_pause(
    endpoints: Mapping[str, Endpoint], region: str, endpoint: str
) -> dict[str, tuple[NewDelivery, ...]]:
    """The deliveries of an event about an endpoint that its failures may pause, by the reason of the pause."""
    return {
        reason: of_region(endpoints, ENDPOINT_PAUSED, region, endpoint=endpoint, reason=reason)
        for reason in (GONE, FAILING)
    }


def pause_by_hand(  # noqa: PLR0913 - what a person says, and where
    webhooks: Webhooks,
    endpoints: Mapping[str, Endpoint],
    regions: Iterable[str],
    name: str,
    *,
    why: str,
    who: str,
    via: str = "",
) -> bool:
    """Pause an endpoint in every region, with one event for all of them. False if it was paused everywhere."""
    is_new = False
    for region in regions:
        about = of_region(endpoints, ENDPOINT_PAUSED, region, endpoint=name, reason=BY_HAND)
        is_new = (
            webhooks.pause(region, name, why=why, who=who, via=via, events=() if is_new else about) or is_new
        )
    return is_new


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
