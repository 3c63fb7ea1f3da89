"""The token that every other call of the vendor needs."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

from marshmallow import ValidationError, fields
from marshmallow.validate import Regexp

from schemas.errors import SchemaError
from schemas.fields import Millis
from schemas.record import VendorRecord


@dataclass(frozen=True, slots=True)
class Token:
    """An access token. `expires_at_ms` is in epoch milliseconds of the vendor's clock."""

    value: str = field(repr=False)
    expires_at_ms: int


class TokenSchema(VendorRecord):
    into = Token

    # It is sent in an HTTP header: a line break would end the header, a space the token.
    value = fields.String(
        data_key="token",
        required=True,
        validate=Regexp(re.compile(r"[!-~]{1,4096}\Z"), error="must be 1 to 4096 visible ASCII characters"),
    )
    expires_at_ms = Millis(data_key="expiredTime", required=True)


_SCHEMA: Final = TokenSchema()


def load_token(data: Any) -> Token:
    """Read the `data` of a generate-token answer. Raises ``SchemaError``, also if there is no data."""
    try:
        token: Token = _SCHEMA.load(data)
    except ValidationError as error:
        raise SchemaError.from_validation(error, prefix="data") from None
    return token
