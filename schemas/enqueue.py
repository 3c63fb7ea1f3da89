"""What a pipeline asks of us: bring this verification to a decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from marshmallow import EXCLUDE, Schema, ValidationError, post_load

from schemas.errors import SchemaError
from schemas.fields import Context, Region, SignatureId

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class EnqueueRequest:
    """One verification to be enqueued. `context` is compact JSON text, None where there is none."""

    signature_id: str
    region: str
    context: str | None = None


class EnqueueSchema(Schema):
    class Meta:
        unknown = EXCLUDE

    signature_id = SignatureId(required=True)
    region = Region(required=True)
    context = Context(load_default=None, allow_none=True)

    @post_load
    def _freeze(self, data: dict[str, Any], **_: Any) -> EnqueueRequest:
        return EnqueueRequest(**data)


_SCHEMA = EnqueueSchema()


def load_enqueue(fields: Mapping[str, Any]) -> EnqueueRequest:
    """Check one enqueue request. Raises ``SchemaError`` with the first field at fault, never its value."""
    try:
        request: EnqueueRequest = _SCHEMA.load(fields)
    except ValidationError as error:
        raise SchemaError.from_validation(error) from None
    return request
