"""What is around every answer of the vendor: a code, the data, and an id of the exchange."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

from marshmallow import ValidationError, fields

from schemas.errors import SchemaError
from schemas.record import VendorRecord
from schemas.vendor_json import parse

#: The vendor documents at most 64 characters. What is no such id is of no use to its support.
_TRANSACTION_ID: Final = re.compile(r"[!-~]{1,64}")


@dataclass(frozen=True, slots=True)
class Envelope:
    """An answer of the vendor, unopened. `data` is parsed JSON, None where there is none."""

    code: str
    data: Any = field(default=None, repr=False)
    #: The only handle that the vendor's support takes.
    transaction_id: str | None = None


class TransactionId(fields.Field[str | None]):
    """1 to 64 visible ASCII characters; anything else loads as None: an answer is never refused for it."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str | None:
        del attr, data, kwargs
        return value if isinstance(value, str) and _TRANSACTION_ID.fullmatch(value) else None


class EnvelopeSchema(VendorRecord):
    """`message` and `extra` are dropped here: they change without notice and may quote the user's data."""

    into = Envelope
    decided = frozenset({"code", "data"})
    unread = frozenset({"message", "extra", "pricingStrategy"})

    code = fields.String(required=True)
    data = fields.Raw()
    transaction_id = TransactionId()


_SCHEMA: Final = EnvelopeSchema()


def load_envelope(raw: bytes) -> Envelope:
    """Read the body of an answer. Raises ``SchemaError`` where it is no JSON object with a `code`.

    What counts as JSON: ``schemas.vendor_json``.
    """
    try:
        envelope: Envelope = _SCHEMA.load(parse(raw))
    except ValidationError as error:
        raise SchemaError.from_validation(error) from None
    return envelope
