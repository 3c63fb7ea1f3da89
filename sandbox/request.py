"""A parsed request."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Request:
    """A request of a client. `header` looks up a header, case-insensitively."""

    method: str
    path: str
    query: str
    body: bytes
    header: Callable[[str], str | None]
    #: The origin of the sandbox as the client sees it.
    origin: str

    def fields(self) -> dict[str, Any]:
        """Return the JSON object in the body. Raises ``ValueError`` if there is none."""
        try:
            fields = json.loads(self.body)
        except (ValueError, RecursionError):
            raise ValueError("the body is not JSON") from None
        if not isinstance(fields, dict):
            raise ValueError("the body is not a JSON object")  # noqa: TRY004 - the fault of a value
        return fields

    def parameters(self) -> dict[str, str]:
        return dict(parse_qsl(self.query))
