"""The decision that the pipeline receives. Its only personal data is what the pipeline put into `context`."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from marshmallow import EXCLUDE, Schema, ValidationError, fields, post_load
from marshmallow.validate import OneOf, Range, Regexp

from schemas.errors import SchemaError
from schemas.fields import Code, Region, SignatureId, Truth
from schemas.result import OverallResult

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The form of a decision's name, which becomes part of the names of a task and a counter.
DECISION_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")

#: The namespace of all decision ids. A change would change the id of every decision.
_NAMESPACE: Final = uuid.UUID("838cf42f-94ae-4878-872e-a4458f64254f")


def decision_id(region: str, signature_id: str) -> str:
    """Return the id of a verification's one decision. It is the same wherever and however often it is made."""
    return str(uuid.uuid5(_NAMESPACE, f"{region}:{signature_id}"))


@dataclass(frozen=True, slots=True)
class EvidenceRef:
    """Where the evidence is. Not `complete`: some of it is missing, or not there yet."""

    url: str
    complete: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """The one decision of a verification, as it is delivered.

    Parameters:
        id: UUIDv5 of region and signatureId, see ``decision_id``.
        decision: the name that the table gives it, such as `approve`.
        overall_result: None if it was settled without a result; then `reason` says why.
        error_code: as the vendor sent it.
        decided_at: an aware moment; sent in UTC, in milliseconds.
        context: whatever JSON the pipeline attached to the enqueue request.
        polls: the number of answers of the vendor.
        table: the version of the decision table.
    """

    id: str
    signature_id: str
    region: str
    decision: str
    overall_result: str | None
    error_code: str | None
    reason: str | None
    decided_at: datetime
    evidence: EvidenceRef
    context: Any = field(repr=False)
    polls: int
    table: str


class Moment(fields.AwareDateTime):
    """An RFC 3339 moment: any offset is read, UTC in milliseconds is written."""

    def _serialize(self, value: datetime | None, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        del attr, obj, kwargs
        return None if value is None else _rfc3339(value)


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class EvidenceRefSchema(Schema):
    class Meta:
        unknown = EXCLUDE

    url = fields.String(required=True)
    complete = Truth(required=True)

    @post_load
    def _freeze(self, data: dict[str, Any], **_: Any) -> EvidenceRef:
        return EvidenceRef(**data)


class DecisionSchema(Schema):
    class Meta:
        unknown = EXCLUDE

    id = fields.String(
        required=True,
        validate=Regexp(re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\Z")),
    )
    signature_id = SignatureId(required=True)
    region = Region(required=True)
    decision = fields.String(required=True, validate=Regexp(re.compile(rf"{DECISION_NAME.pattern}\Z")))
    overall_result = fields.String(required=True, allow_none=True, validate=OneOf(tuple(OverallResult)))
    error_code = Code(required=True, allow_none=True)
    reason = Code(required=True, allow_none=True)
    decided_at = Moment(required=True)
    evidence = fields.Nested(EvidenceRefSchema, required=True)
    context = fields.Raw(required=True, allow_none=True)
    polls = fields.Integer(required=True, strict=True, validate=Range(min=0))
    table = fields.String(required=True)

    @post_load
    def _freeze(self, data: dict[str, Any], **_: Any) -> Decision:
        return Decision(**data)


_SCHEMA: Final = DecisionSchema()


def dump_decision(decision: Decision) -> dict[str, Any]:
    """Return the decision as a JSON object with its fields always in the same order.

    The schema's own `dump` makes the same object in ten times the time.
    """
    evidence = decision.evidence
    return {name: getattr(decision, name) for name in decision.__slots__} | {
        "decided_at": _rfc3339(decision.decided_at),
        "evidence": {"url": evidence.url, "complete": evidence.complete},
    }


def load_decision(raw: Mapping[str, Any]) -> Decision:
    """Read a decision back. Raises ``SchemaError`` with the first field at fault, never its value."""
    try:
        decision: Decision = _SCHEMA.load(raw)
    except ValidationError as error:
        raise SchemaError.from_validation(error) from None
    return decision
