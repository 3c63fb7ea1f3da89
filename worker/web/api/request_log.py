"""One line for each request of the API: never its path, its query, its body or its token."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog
from flask import g, request

if TYPE_CHECKING:
    from flask import Response

_log = structlog.get_logger(__name__)


def begin() -> None:
    g.began = time.perf_counter()


def finish(response: Response) -> Response:
    """Log the request, and add the headers that every answer has."""
    for name, value in getattr(g, "rate_limit", {}).items():
        response.headers[name] = value
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Cache-Control", "no-store")
    _log.info(
        "api_request",
        method=request.method if request.method in _METHODS else "other",
        route=request.url_rule.rule if request.url_rule else "none",
        status=response.status_code,
        token=getattr(g, "token_name", ""),
        ms=round((time.perf_counter() - g.began) * 1000, 2),
    )
    return response


#: A method that does not exist is foreign text.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
