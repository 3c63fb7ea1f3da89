"""The envelope of every answer of the vendor: a code, the data, and an id of the exchange."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

from marshmallow import ValidationError, fields

from schemas.errors import SchemaError
from schemas.record import VendorRecord
from schemas.vendor_json import parse

#: The vendor documents at most 64 characters. Anything else is of no use to the vendor's support.
_TRANSACTION_ID: Final = re.compile(r"[!-~]{1,64}")


@dataclass(frozen=True, slots=True)
class Envelope:
    """An answer of the vendor. `data` is parsed JSON that is not checked yet, None if there is none."""

    code: str
    data: Any = field(default=None, repr=False)
    #: The only reference that the vendor's support takes.
    transaction_id: str | None = None


class TransactionId(fields.Field[str | None]):
    """1 to 64 visible ASCII characters. Anything else loads as None, so that no answer is refused for it."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str | None:
        del attr, data, kwargs
        return value if isinstance(value, str) and _TRANSACTION_ID.fullmatch(value) else None


class EnvelopeSchema(VendorRecord):
    """`message` and `extra` are not loaded: they change without notice and may contain the user's data."""

    into = Envelope
    decided = frozenset({"code", "data"})
    unread = frozenset({"message", "extra", "pricingStrategy"})

    code = fields.String(required=True)
    data = fields.Raw()
    transaction_id = TransactionId()


_SCHEMA: Final = EnvelopeSchema()


def load_envelope(raw: bytes) -> Envelope:
    """Read the body of an answer. Raises ``SchemaError`` if it is not a JSON object with a `code`.

    ``schemas.vendor_json`` defines what counts as JSON.
    """
    try:
        envelope: Envelope = _SCHEMA.load(parse(raw))
    except ValidationError as error:
        raise SchemaError.from_validation(error) from None
    return envelope
