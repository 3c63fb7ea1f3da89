"""An enqueue request in a message or a file. Its rules are in `worker.enqueue_request`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from marshmallow import EXCLUDE, Schema, ValidationError, post_load

from schemas.errors import SchemaError
from schemas.fields import Context, Pipeline, Region, SignatureId
from worker.enqueue_request import DEFAULT_PIPELINE, EnqueueRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["EnqueueRequest", "EnqueueSchema", "load_enqueue"]


class EnqueueSchema(Schema):
    class Meta:
        unknown = EXCLUDE

    signature_id = SignatureId(required=True)
    region = Region(required=True)
    context = Context(load_default=None, allow_none=True)
    pipeline = Pipeline(load_default=DEFAULT_PIPELINE, allow_none=True)

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
