"""What goes back over the wire for one request, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

JSON: Final = "application/json;charset=UTF-8"
HTML: Final = "text/html;charset=UTF-8"


class Manner(StrEnum):
    """How the bytes are sent."""

    WHOLE = "whole"
    #: Half of what was announced, then the connection ends.
    TRUNCATED = "truncated"
    #: One byte a second.
    DRIP = "drip"
    #: Nothing but a reset.
    RESET = "reset"
    #: `padding_bytes` blanks behind the body, and no length announced.
    PADDED = "padded"


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer. `name` is the word for it in the counters and the log."""

    name: str
    body: bytes = b""
    status: int = 200
    media_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()
    manner: Manner = Manner.WHOLE
    padding_bytes: int = 0
