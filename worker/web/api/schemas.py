"""What the API takes and gives, as marshmallow schemas: they check requests, and OpenAPI is made from them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Final

from marshmallow import EXCLUDE, RAISE, Schema, ValidationError, fields, pre_load
from marshmallow.validate import Length, OneOf, Range, Regexp

from schemas.decision import DECISION_NAME, DecisionSchema
from schemas.enqueue import EnqueueSchema
from schemas.fields import CODE, Pipeline, Region, SignatureId, Truth
from worker.decisions.endpoints import NAME as ENDPOINT
from worker.enqueue_request import BAD_REGION, PIPELINE, REGION_ALIASES, REGIONS, SIGNATURE_ID
from worker.ledger.models import EvidenceState, Stage
from worker.ledger.webhooks import State

#: The most verifications of one request.
MOST_VERIFICATIONS: Final = 1000

#: The most ids of one reconciliation.
MOST_IDS: Final = 10_000

#: The most entries of a page.
MOST_OF_A_PAGE: Final = 100

#: An object with more members has one fault, where naming each unknown member would take seconds.
MOST_MEMBERS: Final = 20

#: As `Region` and `SignatureId` take them.
REGION: Final = {"enum": [*REGIONS, *REGION_ALIASES]}
ID: Final = {"pattern": f"^{SIGNATURE_ID.pattern}$"}
DAMAGED: Final = {
    "description": "The keys in Redis of verifications that are left out, because they are no hashes: an administrator "
    "restores, renames or removes them."
}
PIPELINE_NAME: Final = {"pattern": f"^{PIPELINE.pattern}$"}

#: The beginning of the year 2000, in epoch milliseconds.
_EARLIEST_MS: Final = 946_684_800_000

_DIGITS: Final = re.compile(r"[0-9]{1,9}")


class ExactRegion(Region):
    """A region or its alias exactly as described: other ways into the ledger also take capitals and blanks."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if value not in REGION["enum"]:
            raise ValidationError(BAD_REGION)
        return super()._deserialize(value, attr, data, **kwargs)


class Limit(fields.Integer):
    """The size of a page, in decimal digits: Python also reads `1_0`, blanks, and digits of other scripts."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        if not _DIGITS.fullmatch(str(value)):
            raise self.make_error("invalid", input=value)
        found: int = super()._deserialize(value, attr, data, **kwargs)
        return found


class Strict(Schema):
    """Refuses members that it does not know."""

    class Meta:
        unknown = RAISE

    @pre_load
    def _bound(self, data: Any, **_: Any) -> Any:
        return _bounded(data)


def _bounded(data: Any) -> Any:
    if isinstance(data, dict) and len(data) > MOST_MEMBERS:
        raise ValidationError(f"has more than {MOST_MEMBERS} members")
    return data


class BoundedList(fields.List[Any]):
    """A list of `low` to `high` entries; of one with another length no entry is looked at."""

    def __init__(self, inner: Any, *, low: int, high: int, **kwargs: Any) -> None:
        super().__init__(inner, validate=Length(low, high), **kwargs)
        self._low, self._high = low, high

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[Any]:
        if isinstance(value, list) and not self._low <= len(value) <= self._high:
            raise ValidationError(f"must have {self._low} to {self._high} entries")
        return super()._deserialize(value, attr, data, **kwargs)


class VerificationRequest(EnqueueSchema):
    """One verification to be brought to a decision."""

    class Meta:
        unknown = RAISE

    signature_id = SignatureId(required=True, metadata={"description": "As the vendor gave it.", **ID})
    region = ExactRegion(required=True, metadata={"description": "`id` is an alias of `global`.", **REGION})
    pipeline = Pipeline(
        load_default=None,
        allow_none=True,
        metadata={
            "description": "Pipelines that have something due get equal shares of a region's polls. A token with a "
            "pipeline sets it, and may name no other.",
            **PIPELINE_NAME,
        },
    )

    @pre_load
    def _bound(self, data: Any, **_: Any) -> Any:
        return _bounded(data)


class VerificationBatch(Strict):
    """Several of them: with a fault in one, none is accepted."""

    verifications = BoundedList(
        fields.Nested(VerificationRequest), low=1, high=MOST_VERIFICATIONS, required=True
    )


class Accepted(Schema):
    """What became of one verification of a request."""

    signature_id = fields.String(required=True)
    region = fields.String(required=True)
    new = fields.Boolean(required=True, metadata={"description": "False: it was known, and nothing changed."})
    url = fields.String(required=True, metadata={"description": "Where its state is."})


class AcceptedBatch(Schema):
    """The answers to a batch, in its order."""

    verifications = fields.List(fields.Nested(Accepted), required=True)
    new = fields.Integer(required=True, metadata={"description": "How many of them are new."})


class TimelineEntry(Schema):
    at = fields.String(required=True, metadata={"format": "date-time"})
    event = fields.String(required=True)
    detail = fields.String(required=True)


class WaitsFor(Schema):
    """What must happen next."""

    what = fields.String(
        required=True, validate=OneOf(("vendor_result", "images", "delivery", "endpoints", "person"))
    )
    due_at = fields.String(required=True, allow_none=True, metadata={"format": "date-time"})
    held_until = fields.String(
        required=True,
        allow_none=True,
        metadata={"format": "date-time", "description": "The region is on hold until then."},
    )


class EvidenceView(Schema):
    state = fields.String(required=True, allow_none=True, validate=OneOf(tuple(map(str, EvidenceState))))


class VerificationView(Schema):
    """One verification as the ledger knows it."""

    signature_id = fields.String(required=True)
    region = fields.String(required=True)
    pipeline = fields.String(required=True)
    stage = fields.String(required=True, validate=OneOf(tuple(map(str, Stage))))
    enqueued_at = fields.String(required=True, metadata={"format": "date-time"})
    polls = fields.Integer(required=True)
    submission_completed = fields.Boolean(required=True)
    overall_result = fields.String(required=True, allow_none=True)
    error_code = fields.String(required=True, allow_none=True)
    reason = fields.String(required=True, allow_none=True)
    quarantine_reason = fields.String(required=True, allow_none=True)
    decision_name = fields.String(required=True, allow_none=True)


class PendingDelivery(Schema):
    """A delivery by webhook that is not acknowledged yet."""

    id = fields.String(required=True)
    endpoint = fields.String(required=True)
    state = fields.String(required=True, validate=OneOf(tuple(map(str, State))))
    tries = fields.Integer(required=True)
    fault = fields.String(required=True, allow_none=True)
    due_at = fields.String(required=True, allow_none=True, metadata={"format": "date-time"})


class DecisionSignature(Schema):
    """The signature of a decision by the fleet, for the task `onboarding.<decision>`: see `worker.client.verify`."""

    id = fields.String(required=True, data_key="webhook-id")
    timestamp = fields.String(required=True, data_key="webhook-timestamp")
    signature = fields.String(required=True, data_key="webhook-signature")


class VerificationDetail(VerificationView):
    """The same with its decision, its timeline, and what it waits for."""

    decision = fields.Nested(DecisionSchema, required=True, allow_none=True)
    signature = fields.Nested(DecisionSignature, required=True, allow_none=True)
    evidence = fields.Nested(EvidenceView, required=True)
    waits_for = fields.Nested(WaitsFor, required=True, allow_none=True)
    deliveries = fields.List(fields.Nested(PendingDelivery), required=True)
    timeline = fields.List(fields.Nested(TimelineEntry), required=True)


class VerificationPage(Schema):
    """Some verifications. A page may be short or empty although more follow."""

    verifications = fields.List(fields.Nested(VerificationView), required=True)
    next = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "The `cursor` of the next page; null: this is the last one."},
    )
    damaged = fields.List(fields.String(), required=True, metadata=DAMAGED)


class UtcMoment(fields.AwareDateTime):
    """A moment with its offset; loads as epoch milliseconds."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        found: datetime = super()._deserialize(value, attr, data, **kwargs)
        if not isinstance(value, str) or "T" not in value:
            raise self.make_error("invalid", input=value, obj_type=self.OBJ_TYPE)
        try:
            return round(found.astimezone(UTC).timestamp() * 1000)
        except (OverflowError, ValueError):
            raise self.make_error("invalid", input=value, obj_type=self.OBJ_TYPE) from None


class ListQuery(Strict):
    stage = fields.String(validate=OneOf(tuple(map(str, Stage))))
    pipeline = fields.String(validate=Regexp(f"{PIPELINE.pattern}\\Z"))
    decision = fields.String(validate=Regexp(f"{DECISION_NAME.pattern}\\Z"))
    error_code = fields.String(validate=Regexp(f"{CODE.pattern}\\Z"))
    reason = fields.String(
        validate=Regexp(f"{CODE.pattern}\\Z"),
        metadata={"description": "Of the decision, or of the quarantine."},
    )
    since = UtcMoment(metadata={"description": "Enqueued at or after this."})
    until = UtcMoment(metadata={"description": "Enqueued before this."})
    limit = Limit(load_default=MOST_OF_A_PAGE, validate=Range(1, MOST_OF_A_PAGE))
    cursor = fields.String(metadata={"description": "The `next` of the page before."})


class Nudged(Schema):
    nudged = fields.Boolean(required=True, metadata={"description": "False: it does not wait to be polled."})
    stage = fields.String(required=True, validate=OneOf(tuple(map(str, Stage))))


class DecisionsQuery(Strict):
    after = fields.String(
        metadata={"description": "The `next` of the page before. Without it the oldest decision comes first."}
    )
    limit = Limit(load_default=MOST_OF_A_PAGE, validate=Range(1, MOST_OF_A_PAGE))


class DecisionPage(Schema):
    """Decisions in the order in which they were made."""

    decisions = fields.List(fields.Nested(DecisionSchema), required=True)
    signatures = fields.List(
        fields.Nested(DecisionSignature, allow_none=True),
        required=True,
        metadata={"description": "The signature of each decision; null: the fleet has no signing key."},
    )
    next = fields.String(required=True, metadata={"description": "The cursor to ask with next. Keep it."})
    more = fields.Boolean(required=True, metadata={"description": "There are more now."})


class WebhookKey(Schema):
    """A public key that verifies deliveries."""

    key_id = fields.String(required=True, metadata={"description": "A short name of the key, for people."})
    public_key = fields.String(
        required=True, metadata={"description": "`whpk_`, and the 32 bytes of the key in base64."}
    )
    algorithm = fields.String(required=True, validate=OneOf(("ed25519",)))


class WebhookKeys(Schema):
    """The keys that sign now, the newest first."""

    keys = fields.List(fields.Nested(WebhookKey), required=True)


class ReconciliationRequest(Strict):
    region = ExactRegion(required=True, metadata=REGION)
    signature_ids = BoundedList(SignatureId(metadata=ID), low=0, high=MOST_IDS, required=True)


class Balance(Schema):
    """`accepted` = `decided` + `quarantined` + `waiting` + `dropped`, of all verifications of the region."""

    accepted = fields.Integer(required=True)
    decided = fields.Integer(required=True)
    quarantined = fields.Integer(required=True)
    waiting = fields.Integer(required=True, metadata={"description": "In line or in work."})
    dropped = fields.Integer(required=True, metadata={"description": "Ended by a person without a decision."})


class Reconciliation(Schema):
    """Each id is in exactly one of `done`, `under_way`, `quarantined` and `unknown`, or its key is in `damaged`."""

    region = fields.String(required=True)
    done = fields.List(fields.String(), required=True)
    under_way = fields.List(fields.String(), required=True)
    quarantined = fields.List(fields.String(), required=True)
    # Another name, because `Schema.unknown` is taken.
    not_known = fields.List(fields.String(), required=True, data_key="unknown")
    dropped = fields.List(
        fields.String(),
        required=True,
        metadata={"description": "Those of `done` that a person ended without a decision."},
    )
    damaged = fields.List(fields.String(), required=True, metadata=DAMAGED)
    balance = fields.Nested(Balance, required=True)


class PastMoment(UtcMoment):
    """A moment after 1999: an earlier one is a mistake, and would end a period at once."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        found = super()._deserialize(value, attr, data, **kwargs)
        if found < _EARLIEST_MS:
            raise ValidationError("must be after 1999")
        return found


class ClosingRequest(Strict):
    """When a business relationship ended."""

    closed_at = PastMoment(metadata={"description": "With its offset. Without it: now."})


class ClosingNoted(Schema):
    """What was noted."""

    signature_id = fields.String(required=True)
    region = fields.String(required=True)
    closed_at = fields.String(
        required=True,
        metadata={
            "format": "date-time",
            "description": "The latest time that was noted and is not stored yet.",
        },
    )


class Notification(Schema):
    """What the vendor's callback sends. Further members are ignored."""

    class Meta:
        unknown = EXCLUDE

    signatureId = SignatureId(required=True, metadata=ID)  # noqa: N815 - the vendor's name
    type = fields.String(allow_none=True)


class DeliveriesQuery(Strict):
    endpoint = fields.String(validate=Regexp(f"{ENDPOINT.pattern}\\Z"))
    state = fields.String(validate=OneOf(tuple(map(str, State))))
    limit = Limit(load_default=MOST_OF_A_PAGE, validate=Range(1, MOST_OF_A_PAGE))
    cursor = fields.String(metadata={"description": "The `next` of the page before."})


class DeliveryView(Schema):
    """A delivery by webhook."""

    id = fields.String(required=True, metadata={"description": "The endpoint gets it as `webhook-id`."})
    region = fields.String(required=True)
    endpoint = fields.String(required=True)
    type = fields.String(required=True)
    signature_id = fields.String(required=True, allow_none=True)
    state = fields.String(required=True, validate=OneOf(tuple(map(str, State))))
    tries = fields.Integer(required=True)
    fault = fields.String(
        required=True, allow_none=True, metadata={"description": "Why the last try failed: a code."}
    )
    created_at = fields.String(required=True, metadata={"format": "date-time"})
    last_try_at = fields.String(required=True, allow_none=True, metadata={"format": "date-time"})
    acknowledged_at = fields.String(required=True, allow_none=True, metadata={"format": "date-time"})
    due_at = fields.String(required=True, allow_none=True, metadata={"format": "date-time"})


class DeliveryPage(Schema):
    """Some deliveries."""

    deliveries = fields.List(fields.Nested(DeliveryView), required=True)
    next = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "The `cursor` of the next page; null: this is the last one."},
    )


class Resent(Schema):
    resent = fields.Boolean(required=True, metadata={"description": "False: a worker is sending it now."})


class RecoverRequest(Strict):
    endpoint = fields.String(required=True)
    since = UtcMoment(required=True, metadata={"description": "What failed at or after this."})
    acknowledged = Truth(
        load_default=False, metadata={"description": "Also what was acknowledged at or after this."}
    )
    dry_run = Truth(load_default=False, metadata={"description": "Only count them."})


class Recovered(Schema):
    found = fields.Integer(required=True)
    resent = fields.Integer(required=True)


class EndpointView(Schema):
    """An endpoint in one region."""

    name = fields.String(required=True)
    region = fields.String(required=True)
    paused_at = fields.String(required=True, allow_none=True, metadata={"format": "date-time"})
    failing_since = fields.String(
        required=True,
        allow_none=True,
        metadata={"format": "date-time", "description": "Since when it has acknowledged nothing."},
    )
    strain = fields.Float(
        required=True,
        metadata={"description": "From 0 to 1: it is paused, or about to be, for its failures."},
    )
    waiting = fields.Integer(required=True)
    failed = fields.Integer(required=True)
    acknowledged = fields.Integer(required=True)


class EndpointsView(Schema):
    endpoints = fields.List(fields.Nested(EndpointView), required=True)


class PauseRequest(Strict):
    why = fields.String(
        required=True,
        validate=Regexp(r"[!-~](?:[ -~]{0,198}[!-~])?\Z"),
        metadata={"description": "The reason, for the record. It must not hold personal data."},
    )


class Resumed(Schema):
    resumed = fields.Boolean(required=True, metadata={"description": "False: it was not paused."})
    waiting = fields.Integer(required=True, metadata={"description": "How many deliveries are due."})


class SentTest(Schema):
    id = fields.String(required=True)
    url = fields.String(required=True, metadata={"description": "Where its state is."})


class ErrorEntry(Schema):
    """One fault: where it is, and what it is."""

    pointer = fields.String(metadata={"description": "A JSON pointer into the body."})
    parameter = fields.String(metadata={"description": "The name of a query parameter."})
    header = fields.String(metadata={"description": "The name of a header."})
    detail = fields.String(required=True)


class ProblemDetails(Schema):
    """RFC 9457."""

    type = fields.String(required=True)
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    detail = fields.String()
    errors = fields.List(fields.Nested(ErrorEntry))
