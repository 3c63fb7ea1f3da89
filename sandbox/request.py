"""One request, read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks. `header` looks one up, whatever its case."""

    method: str
    path: str
    query: str
    body: bytes
    header: Callable[[str], str | None]
    #: Where the client sees us.
    origin: str

    def fields(self) -> dict[str, Any]:
        """The JSON object in the body. Raises ``ValueError`` where there is none."""
        try:
            fields = json.loads(self.body)
        except (ValueError, RecursionError):
            raise ValueError("the body is not JSON") from None
        if not isinstance(fields, dict):
            raise ValueError("the body is no JSON object")  # noqa: TRY004 - the fault of a value
        return fields

    def parameters(self) -> dict[str, str]:
        return dict(parse_qsl(self.query))
