"""`/v1/verifications`: enqueue, list, look at one, and have it polled now."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from marshmallow import ValidationError

from schemas.decision import decision_id
from worker.enqueue_request import canonical_region
from worker.ledger import pages
from worker.ledger.models import Stage
from worker.ledger.moments import rfc3339, rfc3339_or_none
from worker.web.api import idempotency, quick_check
from worker.web.api.admission import needs
from worker.web.api.backend import backend
from worker.web.api.blueprint import Blueprint, answer
from worker.web.api.bodies import json_body
from worker.web.api.costly import take_place
from worker.web.api.current import current
from worker.web.api.decision_signature import signature_headers
from worker.web.api.problems import FORBIDDEN, NOT_FOUND, Problem, invalid, not_polled
from worker.web.api.schemas import (
    Accepted,
    AcceptedBatch,
    ListQuery,
    Nudged,
    VerificationBatch,
    VerificationDetail,
    VerificationPage,
    VerificationRequest,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flask import Response

    from worker.enqueue_request import EnqueueRequest
    from worker.ledger.models import Hold, Status, Verification

#: What a verification waits for at its stage.
_WAITS_FOR: Final = {
    Stage.POLLING: "vendor_result",
    Stage.ARCHIVING: "images",
    Stage.ROUTING: "delivery",
    Stage.DELIVERING: "endpoints",
    Stage.QUARANTINED: "person",
}

#: `Retry-After`, in seconds: the least, the most, and for one that needs a person.
_SOONEST_S: Final = 1
_LATEST_S: Final = 600
_PERSON_S: Final = 300

blueprint = Blueprint("verifications", __name__, description="Bring verifications to a decision.")

_ONE: Final = VerificationRequest()
_SEVERAL: Final = VerificationBatch()

_EXAMPLE_ONE: Final = {"signature_id": "pass-n2-1", "region": "ph", "context": {"application": 42}}
_EXAMPLE_SEVERAL: Final = {
    "verifications": [_EXAMPLE_ONE, {"signature_id": "CARD_NOT_FOUND-1", "region": "sg"}]
}


@blueprint.route("/v1/verifications", methods=["POST"])
@blueprint.response(202, {"oneOf": [Accepted, AcceptedBatch]}, description="At least one is new.")
@blueprint.alt_response(200, schema={"oneOf": [Accepted, AcceptedBatch]}, description="All were known.")
@blueprint.doc(
    operationId="enqueue",
    parameters=[
        {
            "in": "header",
            "name": idempotency.HEADER,
            "required": False,
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
            "description": "A request that is sent again under its key within a day gets the same answer.",
        }
    ],
    requestBody={
        "required": True,
        "content": {
            "application/json": {
                "schema": {"oneOf": [VerificationRequest, VerificationBatch]},
                "examples": {
                    "one": {"summary": "One verification", "value": _EXAMPLE_ONE},
                    "several": {"summary": "Several", "value": _EXAMPLE_SEVERAL},
                },
            }
        },
    },
)
@needs("enqueue")
def enqueue() -> Response:
    """Enqueue one verification, or up to 1,000

    A batch with a fault is refused as a whole. A verification that is known changes nothing, so a request may be sent
    again: after a 503, a part of a batch may be accepted.
    """
    request, parts = current(), backend()
    body = json_body(request)
    several = isinstance(body, dict) and "verifications" in body
    requests = _requests(body, request.pipeline, several=several)
    key = request.headers.get(idempotency.HEADER)
    call = idempotency.call_of(parts.redis, request.token_name, key, request.raw_body)
    is_single = not several and not call
    answers = [parts.singles.enqueue(requests[0])] if is_single else parts.ledger.enqueue(requests, call=call)
    accepted: list[dict[str, Any]] = [
        {"signature_id": one.signature_id, "region": one.region, "new": new, "url": _url(one)}
        for one, new in zip(requests, answers, strict=True)
    ]
    new = sum(one["new"] for one in accepted)
    status = 202 if new else 200
    if several:
        return answer({"verifications": accepted, "new": new}, status)
    return answer(accepted[0], status, {"Location": accepted[0]["url"]})


@blueprint.route("/v1/verifications", methods=["GET"])
@blueprint.arguments(ListQuery, location="query")
@blueprint.response(200, VerificationPage)
@blueprint.doc(operationId="listVerifications")
@needs("read")
def list_(query: dict[str, Any]) -> Response:
    """List verifications

    A stage except `done` and `dropped` has an index. Anything else is found among all keys, in no order: follow `next`
    until it is null. What changes its stage meanwhile may be missed, or listed twice.
    """
    start = _position(query.get("cursor"))
    wanted = pages.Filter(
        stage=Stage(query["stage"]) if "stage" in query else None,
        pipeline=query.get("pipeline"),
        decision=query.get("decision"),
        error_code=query.get("error_code"),
        reason=query.get("reason"),
        since_ms=query.get("since"),
        until_ms=query.get("until"),
    )
    if not pages.has_index(wanted):
        take_place()
    found = pages.page(backend().redis, backend().settings.regions, wanted, start, query["limit"])
    return answer(
        {
            "verifications": [_summary(one) for one in found.verifications],
            "next": found.following and found.following.cursor(),
            "damaged": found.damaged,
        }
    )


@blueprint.route("/v1/verifications/<region:region>/<signature_id:signature_id>", methods=["GET"])
@blueprint.response(
    200,
    VerificationDetail,
    headers={
        "Retry-After": {
            "description": "Seconds after which asking again makes sense. It is missing once nothing more will change.",
            "schema": {"type": "integer", "minimum": 1},
        }
    },
)
@blueprint.doc(operationId="getVerification")
@needs("read")
def get(region: str, signature_id: str) -> Response:
    """Look at one verification"""
    status = _known(region, signature_id)
    hold = None
    if status.verification.stage is Stage.POLLING:
        holds = backend().stats.counts(status.verification.region).holds
        hold = holds[0] if holds else None
    headers = {}
    if (retry_after_s := _retry_after_s(status, hold)) is not None:
        headers["Retry-After"] = str(retry_after_s)
    return answer(_detail(status, hold), headers=headers)


@blueprint.route("/v1/verifications/<region:region>/<signature_id:signature_id>/nudge", methods=["POST"])
@blueprint.response(200, Nudged)
@blueprint.doc(operationId="nudge")
@needs("enqueue")
def nudge(region: str, signature_id: str) -> Response:
    """Poll one verification now

    For a pipeline that knows that the result is ready. What the vendor answers decides.
    """
    canonical = canonical_region(region)
    nudged = backend().ledger.nudge(canonical, [signature_id])[0]
    stage = Stage.POLLING if nudged else _known(region, signature_id).verification.stage
    return answer({"nudged": nudged, "stage": stage.value})


def _requests(body: Any, pipeline: str | None, *, several: bool) -> list[EnqueueRequest]:
    """The checked requests of a body. Raises ``Problem`` with every fault."""
    requests: Sequence[EnqueueRequest] | None = quick_check.requests(body, several=several)
    if requests is None:
        try:
            requests = _SEVERAL.load(body)["verifications"] if several else [_ONE.load(body)]
        except ValidationError as error:
            raise invalid(error.messages) from None
    polled = backend().settings.regions
    faults: dict[Any, Any] = {
        number: {"region": [not_polled(polled)]}
        for number, one in enumerate(requests)
        if one.region not in polled
    }
    if faults:
        raise invalid({"verifications": faults} if several else faults[0])
    if pipeline is None:
        return list(requests)
    return _of_token(pipeline, requests, body["verifications"] if several else [body], several=several)


def _of_token(
    name: str, requests: Sequence[EnqueueRequest], bodies: Sequence[Any], *, several: bool
) -> list[EnqueueRequest]:
    """The requests as those of the token's pipeline, `name`. Raises ``Problem`` if one names another."""
    others = [
        number
        for number, (one, given) in enumerate(zip(requests, bodies, strict=True))
        if given.get("pipeline") is not None and one.pipeline != name
    ]
    if others:
        fault = f"the token enqueues for the pipeline {name} only"
        where = [f"/verifications/{number}/pipeline" if several else "/pipeline" for number in others]
        raise Problem(FORBIDDEN, fault, errors=[{"pointer": each, "detail": fault} for each in where])
    return [replace(one, pipeline=name) for one in requests]


def _known(region: str, signature_id: str) -> Status:
    status = backend().ledger.status(canonical_region(region), signature_id)
    if status is None:
        raise Problem(
            NOT_FOUND,
            "no such verification: it was never enqueued there, or was done longer ago than the retention",
        )
    return status


def _url(one: EnqueueRequest) -> str:
    return f"/v1/verifications/{one.region}/{one.signature_id}"


def _summary(one: Verification) -> dict[str, Any]:
    return {
        "signature_id": one.signature_id,
        "region": one.region,
        "pipeline": one.pipeline,
        "stage": one.stage.value,
        "enqueued_at": rfc3339(one.enqueued_at_ms),
        "polls": one.polls,
        "submission_completed": one.submission_completed,
        "overall_result": one.overall_result,
        "error_code": one.error_code,
        "reason": one.reason,
        "quarantine_reason": one.quarantine_reason,
        "decision_name": one.decision_name,
    }


def _detail(status: Status, hold: Hold | None) -> dict[str, Any]:
    one = status.verification
    # The names of workers, and of people who did something, stay inside.
    return _summary(one) | {
        "decision": json.loads(one.decision) if one.decision else None,
        "signature": signature_headers(one.decision, one.decision_signature),
        "evidence": {"state": one.evidence and one.evidence.value},
        "waits_for": _waits_for(status, hold),
        "deliveries": _deliveries(one),
        "timeline": [
            {"at": rfc3339(event.at_ms), "event": event.name, "detail": _public(event.name, event.detail)}
            for event in status.timeline
        ],
    }


def _deliveries(one: Verification) -> list[dict[str, Any]]:
    """The deliveries by webhook that are not acknowledged yet."""
    if not one.deliveries:
        return []
    about = decision_id(one.region, one.signature_id)
    found = backend().webhooks.of_verification(one.region, about, one.deliveries)
    return [
        {
            "id": each.id,
            "endpoint": each.endpoint,
            "state": each.state.value,
            "tries": each.tries,
            "fault": each.fault,
            "due_at": rfc3339_or_none(each.due_at_ms),
        }
        for each in found
    ]


def _public(event: str, detail: str) -> str:
    """The detail of an event, without what a person wrote."""
    return "" if event == "dropped" else detail


def _waits_for(status: Status, hold: Hold | None) -> Mapping[str, Any] | None:
    what = _WAITS_FOR.get(status.verification.stage)
    if what is None:
        return None
    return {
        "what": what,
        "due_at": rfc3339_or_none(status.due_at_ms),
        "held_until": rfc3339(hold.until_ms) if hold and not hold.half_open else None,
    }


def _retry_after_s(status: Status, hold: Hold | None) -> int | None:
    """When asking again makes sense; None: nothing more will change."""
    stage = status.verification.stage
    if stage in {Stage.DONE, Stage.DROPPED, Stage.ERASED}:
        return None
    if stage is Stage.QUARANTINED:
        return _PERSON_S
    next_ms = max(status.due_at_ms or status.now_ms, hold.until_ms if hold else 0)
    # The poll itself takes a moment.
    in_s = math.ceil((next_ms - status.now_ms) / 1000) + _SOONEST_S
    return min(max(in_s, _SOONEST_S), _LATEST_S)


def _position(cursor: str | None) -> pages.Position:
    try:
        return pages.Position() if cursor is None else pages.Position.of_cursor(cursor)
    except ValueError as error:
        raise invalid({"cursor": [str(error)]}, "parameter") from None
