"""The request that a thread handles, and what the API keeps about it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, cast

from flask import Request, request

if TYPE_CHECKING:
    from collections.abc import Mapping


class ApiRequest(Request):
    """A request of the API. The attributes are set as it goes on."""

    #: The name of its token; "": it has no valid one.
    token_name = ""
    #: The pipeline of its token.
    pipeline: str | None = None
    #: What its token has left, as headers.
    rate_limit: Mapping[str, str] = {}
    raw_body = b""
    #: Whether it has a place among the costly ones.
    costly = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.began = time.perf_counter()

    def itself(self) -> ApiRequest:
        return self


def current() -> ApiRequest:
    """The request itself: each use of Flask's `request` looks it up once more."""
    return cast("ApiRequest", request).itself()
