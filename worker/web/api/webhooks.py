"""What endpoints receive, for the section `webhooks` of the description."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from marshmallow import Schema, fields
from marshmallow.validate import OneOf

from schemas.decision import Moment
from worker.decisions.endpoints import EVENTS
from worker.decisions.events import TEST
from worker.enqueue_request import REGIONS
from worker.evidence.review import ReviewVerdict
from worker.ledger.webhooks import DECIDED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from apispec import APISpec


def _type(name: str) -> fields.String:
    return fields.String(required=True, validate=OneOf((name,)))


def _code(text: str, *, null: bool = False) -> fields.String:
    return fields.String(required=True, allow_none=null, metadata={"description": text})


def _region() -> fields.String:
    return fields.String(required=True, validate=OneOf(REGIONS))


class _Event(Schema):
    id = fields.String(
        required=True,
        metadata={"format": "uuid", "description": "The same at each try, and for each endpoint."},
    )
    at = Moment(required=True)


class _OfVerification(_Event):
    region = _region()
    signature_id = fields.String(required=True)
    decision_id = fields.String(
        required=True, metadata={"format": "uuid", "description": "The id of its decision, made or not."}
    )


class DecisionWebhook(Schema):
    """A decision. It is made once and never changes."""

    type = _type(DECIDED)
    id = fields.String(required=True, metadata={"format": "uuid", "description": "The id of the decision."})
    signature_id = fields.String(required=True)
    region = _region()
    decision = _code("The name of the decision, such as approve.")
    error_code = _code("As the vendor sent it.", null=True)
    reason = _code("Why there is no result, or what contradicts it.", null=True)
    decided_at = Moment(required=True)
    table = _code("The version of the decision table.")
    context = fields.Raw(
        allow_none=True,
        metadata={"description": "What came with the enqueue; only if the endpoint asks for it."},
    )


class QuarantinedWebhook(_OfVerification):
    """A verification needs a person. Its decision comes later, or never."""

    type = _type("verification.quarantined")
    reason = _code("Why it is in quarantine.")


class ReleasedWebhook(_OfVerification):
    """A person took a verification out of quarantine."""

    type = _type("verification.released")
    outcome = fields.String(
        required=True,
        validate=OneOf(("retried", "dropped")),
        metadata={"description": "`retried`: it goes on. `dropped`: it ends without a decision."},
    )


class EvidenceCompletedWebhook(_OfVerification):
    """The evidence of a decision that was made without its images is complete now. The decision does not change."""

    type = _type("evidence.completed")


class ReviewedWebhook(_OfVerification):
    """A reviewer judged a decision, which does not change. Of several reviews the highest number counts."""

    type = _type("verification.reviewed")
    verdict = fields.String(
        required=True,
        validate=OneOf(tuple(ReviewVerdict)),
        metadata={"description": "`confirmed`: the decision is right. `false_alarm`: it is wrong."},
    )
    review = _code("The number of the review of this decision, from 1.")


class RegionHeldWebhook(_Event):
    """No verification of a region is polled until a moment."""

    type = _type("region.held")
    region = _region()
    reason = _code("A code; BY_HAND: a person ordered it.")
    until = Moment(required=True)


class RegionResumedWebhook(_Event):
    """The hold of a region has ended before its time, or the vendor answers again."""

    type = _type("region.resumed")
    region = _region()
    reason = _code("BY_HAND: a person ended it. VENDOR_ANSWERS: the vendor answers again.")


class EndpointPausedWebhook(_Event):
    """An endpoint, another one as a rule, gets no deliveries until a person resumes it."""

    type = _type("endpoint.paused")
    region = _region()
    endpoint = _code("Its name.")
    reason = _code(
        "GONE: it answered 410. FAILING: it has acknowledged nothing for long. BY_HAND: a person paused it."
    )


class LedgerReplacedWebhook(_Event):
    """A person has accepted another ledger of a region: what the one before it knew may be enqueued again."""

    type = _type("ledger.replaced")
    region = _region()


class EndpointTestWebhook(_Event):
    """A test, which people send to an endpoint."""

    type = _type(TEST)


_SCHEMAS: Final[Mapping[str, type[Schema]]] = {
    DECIDED: DecisionWebhook,
    "verification.quarantined": QuarantinedWebhook,
    "verification.released": ReleasedWebhook,
    "evidence.completed": EvidenceCompletedWebhook,
    "verification.reviewed": ReviewedWebhook,
    "region.held": RegionHeldWebhook,
    "region.resumed": RegionResumedWebhook,
    "endpoint.paused": EndpointPausedWebhook,
    "ledger.replaced": LedgerReplacedWebhook,
    TEST: EndpointTestWebhook,
}

_HEADERS: Final = {
    "webhook-id": "The id of the delivery: the same at each try, another for each endpoint.",
    "webhook-timestamp": "When this try was made, in seconds since 1970.",
    "webhook-signature": "Signatures by Standard Webhooks: v1 (HMAC-SHA256) and v1a (ed25519).",
}


def register(spec: APISpec) -> None:
    """Add the schemas of all bodies to the components of a description."""
    for name, schema in _SCHEMAS.items():
        spec.components.schema(schema.__name__, schema=schema)
        assert name in {*EVENTS, DECIDED, TEST}  # noqa: S101 - the table above and that of the endpoints agree


def section() -> dict[str, Any]:
    """The section `webhooks`."""
    return {name: {"post": _operation(name, schema)} for name, schema in _SCHEMAS.items()}


def _operation(name: str, schema: type[Schema]) -> dict[str, Any]:
    first, _, rest = (schema.__doc__ or "").partition("\n")
    return {
        "operationId": "".join(part.capitalize() for part in name.replace(".", "_").split("_")),
        "summary": first.strip(),
        **({"description": rest.strip()} if rest.strip() else {}),
        "parameters": [
            {
                "in": "header",
                "name": header,
                "required": True,
                "schema": {"type": "string"},
                "description": text,
            }
            for header, text in _HEADERS.items()
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema.__name__}"}}},
        },
        "responses": {
            "2XX": {"description": "Acknowledged: it is not sent again."},
            "410": {
                "description": "The endpoint wants no more deliveries. It is paused until a person resumes it."
            },
            "default": {
                "description": "It is sent again: ten times in three days. A redirect is not followed."
            },
        },
    }
