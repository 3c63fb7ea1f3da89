"""`/v1/deliveries` and `/v1/endpoints`: what goes to endpoints by webhook, and what to do if one does not take it."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from flask import g

from worker.decisions import events
from worker.ledger.webhooks import Shelf, State
from worker.policy.webhooks import LIMITS
from worker.web.api.admission import needs
from worker.web.api.backend import backend
from worker.web.api.blueprint import Blueprint, answer
from worker.web.api.moments import rfc3339, rfc3339_or_none
from worker.web.api.problems import NOT_FOUND, Problem, invalid
from worker.web.api.schemas import (
    DeliveriesQuery,
    DeliveryPage,
    DeliveryView,
    EndpointsView,
    PauseRequest,
    Recovered,
    RecoverRequest,
    Resent,
    Resumed,
    SentTest,
)

if TYPE_CHECKING:
    from flask import Response

    from worker.ledger.webhooks import Delivery, EndpointState

blueprint = Blueprint("deliveries", __name__, description="Look after deliveries by webhook.")

#: Deliveries per round trip of a recovery.
_PAGE: Final = 500

_CURSOR: Final = re.compile(r"([0-9]{1,6})\.([0-9]{1,9})")


@blueprint.route("/v1/deliveries", methods=["GET"])
@blueprint.arguments(DeliveriesQuery, location="query")
@blueprint.response(200, DeliveryPage)
@blueprint.doc(operationId="listDeliveries")
@needs("deliver")
def list_(query: dict[str, Any]) -> Response:
    """List deliveries by webhook

    Those that have failed and those that wait, unless `state` says otherwise. What changes its state meanwhile may be
    missed, or listed twice.
    """
    shelves, limit = _shelves(query), query["limit"]
    source, rank = _position(query.get("cursor"))
    found: list[Delivery] = []
    while source < len(shelves) and len(found) < limit:
        wanted = limit - len(found)
        ids = backend().webhooks.ids(shelves[source], start=rank, count=wanted)
        found += backend().webhooks.read(shelves[source].region, ids)
        source, rank = (source, rank + wanted) if len(ids) == wanted else (source + 1, 0)
    following = f"{source}.{rank}" if source < len(shelves) else None
    return answer({"deliveries": [view(each) for each in found], "next": following})


@blueprint.route("/v1/deliveries/<uuid:delivery_id>", methods=["GET"])
@blueprint.response(200, DeliveryView)
@blueprint.doc(operationId="getDelivery")
@needs("deliver")
def get(delivery_id: uuid.UUID) -> Response:
    """Look at one delivery

    Its id is what the endpoint gets as `webhook-id`.
    """
    return answer(view(_known(str(delivery_id))))


@blueprint.route("/v1/deliveries/<uuid:delivery_id>/resend", methods=["POST"])
@blueprint.response(202, Resent)
@blueprint.doc(operationId="resendDelivery")
@needs("deliver")
def resend(delivery_id: uuid.UUID) -> Response:
    """Send one delivery again

    The same bytes under the same id, now and with all its tries, whatever became of it.
    """
    one = _known(str(delivery_id))
    (resent,) = backend().webhooks.resend(one.region, [one.id], who=_who())
    return answer({"resent": resent}, 202)


@blueprint.route("/v1/deliveries/recover", methods=["POST"])
@blueprint.arguments(
    RecoverRequest, example={"endpoint": "shop", "since": "2026-11-29T12:00:00Z", "dry_run": True}
)
@blueprint.response(202, Recovered)
@blueprint.doc(operationId="recoverDeliveries")
@needs("deliver")
def recover(wanted: dict[str, Any]) -> Response:
    """Send again what an endpoint did not take

    All deliveries that failed since a moment. With `acknowledged` also what was acknowledged since then, for a receiver
    that has lost its data. With `dry_run` they are only counted.
    """
    name = _endpoint(wanted["endpoint"])
    states = [State.FAILED, *([State.ACKNOWLEDGED] if wanted["acknowledged"] else [])]
    found, resent = 0, 0
    for region in backend().settings.regions:
        for ids in _since([Shelf(region, name, state) for state in states], wanted["since"]):
            found += len(ids)
            if not wanted["dry_run"]:
                resent += sum(backend().webhooks.resend(region, ids, who=_who()))
    return answer({"found": found, "resent": resent}, 202)


@blueprint.route("/v1/endpoints", methods=["GET"])
@blueprint.response(200, EndpointsView)
@blueprint.doc(operationId="listEndpoints")
@needs("deliver")
def endpoints() -> Response:
    """List endpoints, and how they do in each region"""
    found = [
        each
        for region in backend().settings.regions
        for each in backend().webhooks.endpoints(region, backend().endpoints)
    ]
    return answer({"endpoints": [_state(each) for each in found]})


@blueprint.route("/v1/endpoints/<string:name>/test", methods=["POST"])
@blueprint.response(202, SentTest)
@blueprint.doc(operationId="testEndpoint")
@needs("deliver")
def test(name: str) -> Response:
    """Send a test to an endpoint

    A signed delivery of the type `endpoint.test`, which a worker sends like any other. Its id tells what became of it.
    """
    endpoint, region = _configured(name), backend().settings.regions[0]
    new = events.delivery_of_test(endpoint, str(uuid.uuid4()), datetime.now(UTC))
    backend().webhooks.add(region, "", [new])
    return answer(
        {"id": new.id, "url": f"/v1/deliveries/{new.id}"}, 202, {"Location": f"/v1/deliveries/{new.id}"}
    )


@blueprint.route("/v1/endpoints/<string:name>/pause", methods=["POST"])
@blueprint.arguments(PauseRequest, example={"why": "maintenance of the receiver"})
@blueprint.response(200, EndpointsView)
@blueprint.doc(operationId="pauseEndpoint")
@needs("deliver")
def pause(wanted: dict[str, Any], name: str) -> Response:
    """Pause an endpoint

    It gets no deliveries, in any region, and they wait. No tries are used up.
    """
    endpoint, webhooks = _endpoint(name, NOT_FOUND), backend().webhooks
    regions = backend().settings.regions
    paused = [each for each in regions if webhooks.pause(each, endpoint, why=wanted["why"], who=_who())]
    if paused:
        about = events.of_region(
            backend().endpoints, events.ENDPOINT_PAUSED, paused[0], endpoint=endpoint, reason=events.BY_HAND
        )
        webhooks.add(paused[0], "", about)
    return answer({"endpoints": [_state(each) for each in _states(endpoint)]})


@blueprint.route("/v1/endpoints/<string:name>/resume", methods=["POST"])
@blueprint.response(200, Resumed)
@blueprint.doc(operationId="resumeEndpoint")
@needs("deliver")
def resume(name: str) -> Response:
    """Resume an endpoint

    What waits for it is due now, and its tries start over.
    """
    endpoint = _endpoint(name, NOT_FOUND)
    resumed = [
        backend().webhooks.resume(region, endpoint, who=_who()) for region in backend().settings.regions
    ]
    return answer({"resumed": any(resumed), "waiting": sum(each.waiting for each in _states(endpoint))})


def view(one: Delivery) -> dict[str, Any]:
    """A delivery as the API shows it."""
    return {
        "id": one.id,
        "region": one.region,
        "endpoint": one.endpoint,
        "type": one.type,
        "signature_id": one.signature_id or None,
        "state": one.state.value,
        "tries": one.tries,
        "fault": one.fault,
        "created_at": rfc3339(one.created_at_ms),
        "last_try_at": rfc3339_or_none(one.last_try_at_ms),
        "acknowledged_at": rfc3339_or_none(one.acknowledged_at_ms),
        "due_at": rfc3339_or_none(one.due_at_ms),
    }


def _state(one: EndpointState) -> dict[str, Any]:
    return {
        "name": one.name,
        "region": one.region,
        "paused_at": rfc3339_or_none(one.paused_at_ms),
        "failing_since": rfc3339_or_none(one.failing_since_ms),
        "strain": round(one.strain(LIMITS), 3),
        "waiting": one.waiting,
        "failed": one.failed,
        "acknowledged": one.acknowledged,
    }


def _who() -> str:
    return f"token {g.token_name}"


def _known(delivery_id: str) -> Delivery:
    for region in backend().settings.regions:
        found = backend().webhooks.get(region, delivery_id)
        if found is not None:
            return found
    raise Problem(
        NOT_FOUND, "no such delivery: it never was, or was acknowledged longer ago than the retention"
    )


def _names() -> list[str]:
    """The endpoints of the file, and those that had a delivery."""
    known = dict.fromkeys(backend().endpoints)
    for region in backend().settings.regions:
        known |= dict.fromkeys(each.name for each in backend().webhooks.endpoints(region))
    return list(known)


def _states(name: str) -> list[EndpointState]:
    return [
        each
        for region in backend().settings.regions
        for each in backend().webhooks.endpoints(region, backend().endpoints)
        if each.name == name
    ]


def _endpoint(name: str, kind: Any = None) -> str:
    """The name of an endpoint that exists. `kind`: of the problem; None: the body is at fault."""
    if name in _names():
        return name
    if kind is None:
        raise invalid({"endpoint": ["there is no such endpoint"]})
    raise Problem(kind, "there is no such endpoint")


def _configured(name: str) -> str:
    if name not in backend().endpoints:
        raise Problem(NOT_FOUND, "there is no such endpoint in EKYC_ENDPOINTS_FILE")
    return name


def _shelves(query: dict[str, Any]) -> list[Shelf]:
    names = [query["endpoint"]] if "endpoint" in query else _names()
    states = [State(query["state"])] if "state" in query else [State.FAILED, State.WAITING]
    return [
        Shelf(region, name, state)
        for region in backend().settings.regions
        for name in names
        for state in states
    ]


def _position(cursor: str | None) -> tuple[int, int]:
    if cursor is None:
        return 0, 0
    found = _CURSOR.fullmatch(cursor)
    if found is None:
        raise invalid({"cursor": ["is not a cursor of this list"]}, "parameter")
    return int(found[1]), int(found[2])


def _since(shelves: list[Shelf], since_ms: int) -> list[list[str]]:
    """All ids of the shelves, in pages. They are read first: resending one takes it from its shelf."""
    pages: list[list[str]] = []
    for shelf in shelves:
        start = 0
        while ids := backend().webhooks.ids(shelf, since_ms=since_ms, start=start, count=_PAGE):
            pages.append(ids)
            start += len(ids)
    return pages
