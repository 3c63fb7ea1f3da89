"""Answers to requests that no application sees, as problems: gunicorn's own are HTML and quote what was sent."""

from __future__ import annotations

from ssl import SSLError
from typing import TYPE_CHECKING, Final

from gunicorn.http.errors import (
    ConfigurationProblem,
    ExpectationFailed,
    InvalidResponseHeader,
    InvalidResponseHeaderName,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
    UnsupportedTransferCoding,
)

from worker.web.api.problems import (
    BAD_REQUEST,
    BUSY,
    CODING_UNKNOWN,
    EXPECTATION_FAILED,
    HEAD_TOO_LARGE,
    INTERNAL,
    URI_TOO_LONG,
    Kind,
    Problem,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The kinds of what gunicorn's parser raises. The first that fits counts.
_KINDS: Final[tuple[tuple[type[Exception], Kind], ...]] = (
    # Faults of ours that have the classes of the client's.
    (InvalidResponseHeader, INTERNAL),
    (InvalidResponseHeaderName, INTERNAL),
    (ConfigurationProblem, INTERNAL),
    (LimitRequestLine, URI_TOO_LONG),
    (LimitRequestHeaders, HEAD_TOO_LARGE),
    (ExpectationFailed, EXPECTATION_FAILED),
    (UnsupportedTransferCoding, CODING_UNKNOWN),
    (ParseException, BAD_REQUEST),
    (SSLError, BAD_REQUEST),
)


def kind_of(error: BaseException) -> Kind:
    """The kind of an error that ended a request before or beside the application."""
    return next((kind for raised, kind in _KINDS if isinstance(error, raised)), INTERNAL)


def as_bytes(problem: Problem) -> bytes:
    """A whole response that ends its connection."""
    response = problem.response()
    headers: Mapping[str, str] = {**dict(response.headers), "Connection": "close"}
    head = [f"HTTP/1.1 {response.status}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join((*head, "", "")).encode("latin-1") + response.get_data()


#: For a body that finds no room.
SERVER_BUSY: Final = as_bytes(
    Problem(BUSY, "send the request again in a second", headers={"Retry-After": "1"})
)

#: For a body that is shorter than its Content-Length.
BODY_CUT: Final = as_bytes(Problem(BAD_REQUEST, "the body is shorter than its Content-Length"))
