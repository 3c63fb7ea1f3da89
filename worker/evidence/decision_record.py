"""The record of a decision, stored with the evidence before the ledger fixes the decision.

    {"version":1,"salt":"5f…","region":"ph","signature_id":"…","decision":{…},"rule":3,"course":{…}}

`decision` is what the pipeline receives, without `context`, which is the pipeline's own and may be personal. The salt
is random, so that the hash of the record tells nothing to people who can guess its other fields. `course` has what the
ledger knew and the decision does not say; reports of a month need it, and the ledger forgets it.
"""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass, replace
from datetime import UTC
from typing import TYPE_CHECKING, Any, Final

from marshmallow import EXCLUDE, Schema, ValidationError, fields, post_load
from marshmallow.validate import Equal, Range, Regexp

from schemas.decision import DecisionSchema, Moment, dump_decision
from schemas.errors import SchemaError
from schemas.labels import LABEL

if TYPE_CHECKING:
    from datetime import datetime

    from schemas.decision import Decision

VERSION: Final = 1

#: The largest record that is parsed, in bytes; one of ours has less than 2 kB.
MAX_BYTES: Final = 64 * 1024

SALT: Final = re.compile(r"[0-9a-f]{32}\Z")

_LABEL: Final = re.compile(rf"(?:{LABEL.pattern})\Z")


@dataclass(frozen=True, slots=True)
class Course:
    """How a verification came to its decision. None: unknown.

    Parameters:
        enqueued_at, settled_at: aware moments of Redis's clock; `settled_at`: when the vendor's result arrived.
        document_type: as the vendor names it, see ``schemas.labels``.
        vendor_faults: how many answers of the vendor were faults.
    """

    enqueued_at: datetime | None = None
    settled_at: datetime | None = None
    document_type: str | None = None
    vendor_faults: int | None = None


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """A stored decision. `decision.context` is None. `rule`: the matching rule, from 1; None: unknown, or no rule."""

    decision: Decision
    salt: str
    rule: int | None = None
    course: Course = Course()

    @classmethod
    def of(cls, decision: Decision, rule: int | None = None, course: Course | None = None) -> DecisionRecord:
        """Return the record of a decision, with a new salt and without the pipeline's `context`."""
        return cls(replace(decision, context=None), new_salt(), rule, course or Course())

    @property
    def essence(self) -> tuple[str | None, ...]:
        """What two records of one decision have in common. They may differ in times and counts."""
        decision = self.decision
        return decision.decision, decision.overall_result, decision.error_code, decision.reason

    @property
    def region(self) -> str:
        return self.decision.region

    @property
    def signature_id(self) -> str:
        return self.decision.signature_id


def new_salt() -> str:
    """Return a random salt of 32 hexadecimal digits."""
    return secrets.token_hex(16)


_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode


def dump_record(record: DecisionRecord) -> bytes:
    """Return the record as JSON with sorted keys: equal records give equal bytes."""
    decision = dump_decision(record.decision)
    del decision["context"]
    document: dict[str, Any] = {
        "version": VERSION,
        "salt": record.salt,
        "region": record.region,
        "signature_id": record.signature_id,
        "decision": decision,
    }
    if record.rule is not None:
        document["rule"] = record.rule
    if record.course != Course():
        document["course"] = _known(record.course)
    return f"{_encode(document)}\n".encode()


def _known(course: Course) -> dict[str, Any]:
    # A dump by the schema takes ten times the time.
    members = {
        name: value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        for name, value in (("enqueued_at", course.enqueued_at), ("settled_at", course.settled_at))
        if value is not None
    }
    others = {"document_type": course.document_type, "vendor_faults": course.vendor_faults}
    return members | {name: value for name, value in others.items() if value is not None}


class _CourseSchema(Schema):
    class Meta:
        unknown = EXCLUDE

    enqueued_at = Moment(load_default=None, allow_none=True)
    settled_at = Moment(load_default=None, allow_none=True)
    document_type = fields.String(load_default=None, allow_none=True, validate=Regexp(_LABEL))
    vendor_faults = fields.Integer(strict=True, load_default=None, allow_none=True, validate=Range(min=0))

    @post_load
    def _freeze(self, data: dict[str, Any], **_: Any) -> Course:
        return Course(**data)


class _RecordSchema(Schema):
    class Meta:
        unknown = EXCLUDE

    version = fields.Integer(required=True, strict=True, validate=Equal(VERSION))
    salt = fields.String(required=True, validate=Regexp(SALT))
    decision = fields.Nested(DecisionSchema, required=True)
    rule = fields.Integer(strict=True, load_default=None)
    course = fields.Nested(_CourseSchema, load_default=Course)

    @post_load
    def _freeze(self, data: dict[str, Any], **_: Any) -> DecisionRecord:
        return DecisionRecord(data["decision"], data["salt"], data["rule"], data["course"])


_SCHEMA: Final = _RecordSchema()


def load_record(raw: bytes) -> DecisionRecord:
    """Parse a record. Raises ``SchemaError`` with the first invalid field."""
    if len(raw) > MAX_BYTES:
        raise SchemaError("decision", "is too long")
    try:
        document = json.loads(raw)
        if isinstance(document, dict) and isinstance(document.get("decision"), dict):
            document["decision"]["context"] = None
        record: DecisionRecord = _SCHEMA.load(document)
    except ValidationError as error:
        raise SchemaError.from_validation(error, prefix="decision") from None
    except (ValueError, RecursionError):
        raise SchemaError("decision", "is not JSON") from None
    return record
