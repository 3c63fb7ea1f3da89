"""`/v1/deliveries` and `/v1/endpoints`: what goes to endpoints by webhook, and what to do if one does not take it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from worker.decisions import deliveries, events
from worker.decisions.deliveries import PAGE, Position
from worker.ledger.audit import Via
from worker.ledger.moments import rfc3339_or_none
from worker.ledger.webhooks import State
from worker.policy.webhooks import LIMITS
from worker.web.api.admission import needs
from worker.web.api.backend import backend
from worker.web.api.blueprint import Blueprint, answer
from worker.web.api.costly import take_place
from worker.web.api.current import current
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
    import uuid

    from flask import Response

    from worker.ledger.webhooks import Delivery, EndpointState, Shelf

blueprint = Blueprint("deliveries", __name__, description="Look after deliveries by webhook.")


@blueprint.route("/v1/deliveries", methods=["GET"])
@blueprint.arguments(DeliveriesQuery, location="query")
@blueprint.response(200, DeliveryPage)
@blueprint.doc(operationId="listDeliveries")
@needs("deliver")
def list_(query: dict[str, Any]) -> Response:
    """List deliveries by webhook

    Those that have failed and those that wait, unless `state` says otherwise. What changes its state meanwhile may be
    missed, or listed twice. A page may be short, or empty, although more follow: go on until `next` is null.
    """
    found, following = deliveries.page(
        backend().webhooks, _shelves(query), _position(query.get("cursor")), query["limit"]
    )
    return answer(
        {
            "deliveries": [each.as_json() for each in found],
            "next": None if following is None else str(following),
        }
    )


@blueprint.route("/v1/deliveries/<uuid:delivery_id>", methods=["GET"])
@blueprint.response(200, DeliveryView)
@blueprint.doc(operationId="getDelivery")
@needs("deliver")
def get(delivery_id: uuid.UUID) -> Response:
    """Look at one delivery

    Its id is what the endpoint gets as `webhook-id`.
    """
    return answer(_known(str(delivery_id)).as_json())


@blueprint.route("/v1/deliveries/<uuid:delivery_id>/resend", methods=["POST"])
@blueprint.response(202, Resent)
@blueprint.doc(operationId="resendDelivery")
@needs("deliver")
def resend(delivery_id: uuid.UUID) -> Response:
    """Send one delivery again

    The same bytes under the same id, now and with all its tries, whatever became of it.
    """
    one = _known(str(delivery_id))
    (resent,) = backend().webhooks.resend(one.region, [one.id], who=_who(), via=Via.API)
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
    take_place()
    name = _endpoint(wanted["endpoint"])
    states = deliveries.not_taken(acknowledged=wanted["acknowledged"])
    found, resent = 0, 0
    for region in backend().settings.regions:
        ids = [
            each
            for shelf in deliveries.shelves([region], [name], states)
            for each in deliveries.ids(backend().webhooks, shelf, wanted["since"])
        ]
        found += len(ids)
        if not wanted["dry_run"]:
            for start in range(0, len(ids), PAGE):
                part = ids[start : start + PAGE]
                resent += sum(
                    backend().webhooks.resend(region, part, who=_who(), via=Via.API, act="deliveries_recover")
                )
    return answer({"found": found, "resent": resent}, 202)


@blueprint.route("/v1/endpoints", methods=["GET"])
@blueprint.response(200, EndpointsView)
@blueprint.doc(operationId="listEndpoints")
@needs("deliver")
def endpoints() -> Response:
    """List endpoints, and how they do in each region"""
    return answer({"endpoints": [_state(each) for each in _states()]})


@blueprint.route("/v1/endpoints/<string:name>/test", methods=["POST"])
@blueprint.response(202, SentTest)
@blueprint.doc(operationId="testEndpoint")
@needs("deliver")
def test(name: str) -> Response:
    """Send a test to an endpoint

    A signed delivery of the type `endpoint.test`, which a worker sends like any other. Its id tells what became of it.
    """
    endpoint, region = _configured(name), backend().settings.regions[0]
    sent = deliveries.send_test(
        backend().webhooks, backend().audit, region, endpoint, who=_who(), via=Via.API
    )
    return answer({"id": sent, "url": f"/v1/deliveries/{sent}"}, 202, {"Location": f"/v1/deliveries/{sent}"})


@blueprint.route("/v1/endpoints/<string:name>/pause", methods=["POST"])
@blueprint.arguments(PauseRequest, example={"why": "maintenance of the receiver"})
@blueprint.response(200, EndpointsView)
@blueprint.doc(operationId="pauseEndpoint")
@needs("deliver")
def pause(wanted: dict[str, Any], name: str) -> Response:
    """Pause an endpoint

    It gets no deliveries, in any region, and they wait. No tries are used up.
    """
    endpoint, parts = _endpoint(name, NOT_FOUND), backend()
    events.pause_by_hand(
        parts.webhooks,
        parts.endpoints,
        parts.settings.regions,
        endpoint,
        why=wanted["why"],
        who=_who(),
        via=Via.API,
    )
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
        backend().webhooks.resume(region, endpoint, who=_who(), via=Via.API)
        for region in backend().settings.regions
    ]
    return answer({"resumed": any(resumed), "waiting": sum(each.waiting for each in _states(endpoint))})


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
    return f"token {current().token_name}"


def _known(delivery_id: str) -> Delivery:
    found = deliveries.find(backend().webhooks, backend().settings.regions, delivery_id)
    if found is not None:
        return found
    raise Problem(
        NOT_FOUND, "no such delivery: it never was, or was acknowledged longer ago than the retention"
    )


def _names() -> list[str]:
    return deliveries.names(backend().webhooks, backend().settings.regions, backend().endpoints)


def _states(name: str | None = None) -> list[EndpointState]:
    """The state of each endpoint in each region, or of one endpoint."""
    found = deliveries.states(backend().webhooks, backend().settings.regions, backend().endpoints)
    return [each for each in found if name in {None, each.name}]


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
    return deliveries.shelves(backend().settings.regions, names, states)


def _position(cursor: str | None) -> Position:
    try:
        return Position() if cursor is None else Position.parse(cursor)
    except ValueError as error:
        raise invalid({"cursor": [str(error)]}, "parameter") from None
