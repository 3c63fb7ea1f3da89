"""What endpoints get beside decisions: events, which they ask for by name, and tests."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from schemas.decision import decision_id
from worker.ledger.webhooks import NewDelivery, delivery_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.decisions.endpoints import Endpoint

#: The type of a test, which every endpoint takes.
TEST: Final = "endpoint.test"

#: The namespace of the ids of events. A change would change the id of every event.
_NAMESPACE: Final = uuid.UUID("5f0e9a0c-6c0b-4f8e-8a50-0b8f1f7c3d21")


def event_id(name: str, about: str, occasion: str) -> str:
    """The id of an event, the same wherever it is made. `occasion`: what tells it from an earlier one of its kind."""
    return str(uuid.uuid5(_NAMESPACE, f"{name}:{about}:{occasion}"))


def delivery_of_test(endpoint: str, test_id: str, now: datetime) -> NewDelivery:
    """A test for one endpoint."""
    return _delivery(endpoint, TEST, test_id, {"at": rfc3339(now)})


def about_verification(
    endpoints: Mapping[str, Endpoint],
    name: str,
    region: str,
    signature_id: str,
    *,
    occasion: str,
    **fields: Any,
) -> tuple[NewDelivery, ...]:
    """The deliveries of an event about a verification, to the endpoints that ask for it."""
    about = {"region": region, "signature_id": signature_id, "decision_id": decision_id(region, signature_id)}
    id_ = event_id(name, f"{region}:{signature_id}", occasion)
    return _deliveries(endpoints, name, id_, _at() | about | fields)


def about_region(
    endpoints: Mapping[str, Endpoint], name: str, region: str, *, occasion: str, **fields: Any
) -> tuple[NewDelivery, ...]:
    """The deliveries of an event about a region, to the endpoints that ask for it."""
    return _deliveries(endpoints, name, event_id(name, region, occasion), _at() | {"region": region} | fields)


def _at() -> dict[str, str]:
    return {"at": rfc3339(datetime.now(UTC))}


def rfc3339(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _deliveries(
    endpoints: Mapping[str, Endpoint], name: str, id_: str, fields: Mapping[str, Any]
) -> tuple[NewDelivery, ...]:
    return tuple(
        _delivery(endpoint.name, name, id_, fields)
        for endpoint in endpoints.values()
        if name in endpoint.events
    )


def _delivery(endpoint: str, name: str, id_: str, fields: Mapping[str, Any]) -> NewDelivery:
    body = json.dumps({"type": name, "id": id_} | dict(fields), ensure_ascii=False, separators=(",", ":"))
    return NewDelivery(delivery_id(endpoint, id_), endpoint, name, body)
