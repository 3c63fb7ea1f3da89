"""The response to one request, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

JSON: Final = "application/json;charset=UTF-8"
HTML: Final = "text/html;charset=UTF-8"


class Manner(StrEnum):
    """How the bytes are sent."""

    WHOLE = "whole"
    #: Half of the announced length, then the connection closes.
    TRUNCATED = "truncated"
    #: One byte a second.
    DRIP = "drip"
    #: A reset of the connection, without any byte.
    RESET = "reset"
    #: The body and `padding_bytes` blanks, without a `Content-Length`.
    PADDED = "padded"


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer. `name` is its name in the counters and the log."""

    name: str
    body: bytes = b""
    status: int = 200
    media_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()
    manner: Manner = Manner.WHOLE
    padding_bytes: int = 0
