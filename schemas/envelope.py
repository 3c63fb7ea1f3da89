"""What is around every answer of the vendor: a code, the data, and an id of the exchange."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from marshmallow import ValidationError, fields

from schemas.errors import SchemaError
from schemas.record import VendorRecord

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

    code = fields.String(required=True)
    data = fields.Raw()
    transaction_id = TransactionId()


def _no_constant(_: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("beyond a double")
    return number


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        # One reader takes the first, another the last: FAIL to the one, PASS to the other.
        raise ValueError("a name stands twice")
    return members


_JSON: Final = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=_unique)
_SCHEMA: Final = EnvelopeSchema()


def load_envelope(raw: bytes) -> Envelope:
    """Read the body of an answer. Raises ``SchemaError`` where it is no JSON object with a `code`.

    The body is RFC 8259 JSON in UTF-8: no NaN, no number beyond a double, no nesting beyond what Python
    can hold on its stack.
    """
    try:
        envelope: Envelope = _SCHEMA.load(_JSON.decode(raw.decode()))
    except ValidationError as error:
        raise SchemaError.from_validation(error) from None
    except RecursionError:
        raise SchemaError("", "must not be nested that deep") from None
    except ValueError:
        raise SchemaError("", "must be JSON in UTF-8") from None
    return envelope
