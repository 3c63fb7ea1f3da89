"""Errors of the API as `application/problem+json`: RFC 9457. No problem quotes a value that was sent."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from flask import Response

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from werkzeug.exceptions import HTTPException

CONTENT_TYPE: Final = "application/problem+json"

#: What each type begins with.
TYPE: Final = "urn:ekyc:problem:"

#: The most faults of one request that are listed.
MOST_ERRORS: Final = 100

#: The longest name of a field that is repeated in a pointer.
_LONGEST_NAME: Final = 64


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem. Its type is a name that does not change."""

    slug: str
    status: HTTPStatus
    title: str


NOT_JSON: Final = Kind("not-json", HTTPStatus.BAD_REQUEST, "The body is not acceptable JSON")
BAD_REQUEST: Final = Kind("bad-request", HTTPStatus.BAD_REQUEST, "The request is malformed")
UNAUTHORIZED: Final = Kind("unauthorized", HTTPStatus.UNAUTHORIZED, "No valid token was sent")
FORBIDDEN: Final = Kind("forbidden", HTTPStatus.FORBIDDEN, "The token does not allow this")
DISABLED: Final = Kind("api-disabled", HTTPStatus.FORBIDDEN, "The API is not configured")
NOT_FOUND: Final = Kind("not-found", HTTPStatus.NOT_FOUND, "There is no such resource")
METHOD_NOT_ALLOWED: Final = Kind(
    "method-not-allowed", HTTPStatus.METHOD_NOT_ALLOWED, "The resource has no such method"
)
GONE: Final = Kind("cursor-expired", HTTPStatus.GONE, "The cursor is too old")
ERASED: Final = Kind("erased", HTTPStatus.GONE, "The verification was erased")
LENGTH_REQUIRED: Final = Kind(
    "length-required", HTTPStatus.LENGTH_REQUIRED, "The request has no Content-Length"
)
TOO_LARGE: Final = Kind("body-too-large", HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large")
MEDIA_TYPE: Final = Kind(
    "unsupported-media-type", HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The body is not application/json"
)
URI_TOO_LONG: Final = Kind("uri-too-long", HTTPStatus.REQUEST_URI_TOO_LONG, "The request line is too long")
EXPECTATION_FAILED: Final = Kind(
    "expectation-failed", HTTPStatus.EXPECTATION_FAILED, "The header Expect has an unknown value"
)
HEAD_TOO_LARGE: Final = Kind(
    "headers-too-large", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The headers are too large or too many"
)
CODING_UNKNOWN: Final = Kind(
    "transfer-coding-unknown", HTTPStatus.NOT_IMPLEMENTED, "The Transfer-Encoding is not supported"
)
INVALID: Final = Kind("invalid-request", HTTPStatus.UNPROCESSABLE_ENTITY, "The request has invalid values")
KEY_REUSED: Final = Kind(
    "idempotency-key-reused",
    HTTPStatus.UNPROCESSABLE_ENTITY,
    "The Idempotency-Key was used for another request",
)
RATE_LIMITED: Final = Kind(
    "rate-limited", HTTPStatus.TOO_MANY_REQUESTS, "The token has made too many requests"
)
FAILURES: Final = Kind(
    "too-many-failures", HTTPStatus.TOO_MANY_REQUESTS, "Too many requests without a valid token"
)
INTERNAL: Final = Kind("internal-error", HTTPStatus.INTERNAL_SERVER_ERROR, "The server failed")
BUSY: Final = Kind("busy", HTTPStatus.SERVICE_UNAVAILABLE, "Too many large requests are under way")
UNAVAILABLE: Final = Kind("ledger-unavailable", HTTPStatus.SERVICE_UNAVAILABLE, "Redis cannot be used now")

#: Every kind, in the order of the statuses.
KINDS: Final = tuple(
    sorted((kind for kind in list(vars().values()) if isinstance(kind, Kind)), key=lambda kind: kind.status)
)

#: The kind that stands for an error that werkzeug raises.
_OF_STATUS: Final = {
    kind.status.value: kind
    for kind in (BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, METHOD_NOT_ALLOWED, TOO_LARGE, MEDIA_TYPE)
} | {500: INTERNAL}


class Problem(Exception):
    """Ends a request with a problem.

    `errors`: each fault as `{"pointer" | "parameter" | "header": …, "detail": …}`.
    """

    def __init__(
        self,
        kind: Kind,
        detail: str = "",
        *,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail or kind.title)
        self.kind = kind
        self.detail = detail
        self.errors = errors
        self.headers = dict(headers or {})

    def response(self) -> Response:
        body: dict[str, Any] = {
            "type": TYPE + self.kind.slug,
            "title": self.kind.title,
            "status": self.kind.status.value,
        }
        if self.detail:
            body["detail"] = self.detail
        if self.errors:
            body["errors"] = list(self.errors[:MOST_ERRORS])
        return Response(
            json.dumps(body, ensure_ascii=False).encode(errors="replace"),
            self.kind.status.value,
            {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"} | self.headers,
            content_type=CONTENT_TYPE,
        )


def of_http(error: HTTPException) -> Problem:
    """The problem for an error that werkzeug raised."""
    kind = _OF_STATUS.get(error.code or 500)
    if kind is None:
        status = HTTPStatus(error.code or 500)
        kind = Kind("http-error", status, status.phrase)
    headers = {}
    if kind is METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(sorted(getattr(error, "valid_methods", None) or ()))
    return Problem(kind, headers=headers)


def invalid(messages: Any, where: str = "pointer") -> Problem:
    """The problem for the messages of a marshmallow error. `where`: `pointer` into the body, or `parameter`."""
    errors = []
    for path, detail in _leaves(messages, ()):
        place = (
            "".join(f"/{_escaped(step)}" for step in path)
            if where == "pointer"
            else ".".join(map(str, path[:1]))
        )
        errors.append({where: place, "detail": detail})
        if len(errors) == MOST_ERRORS:
            break
    first = errors[0] if errors else {}
    detail = " ".join(filter(None, (first.get(where), first.get("detail"))))
    return Problem(INVALID, detail, errors=errors)


def not_polled(polled: Sequence[str]) -> str:
    """The fault of a region that exists and has no workers."""
    return f"this fleet polls {', '.join(polled)} only"


def _leaves(messages: Any, path: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], str]]:
    if isinstance(messages, dict):
        for key, inner in messages.items():
            yield from _leaves(inner, path if key == "_schema" else (*path, key))
    else:
        for text in messages if isinstance(messages, list) else [messages]:
            if isinstance(text, dict):
                yield from _leaves(text, path)
            else:
                yield path, str(text).rstrip(".")


def _escaped(step: Any) -> str:
    """A step of a JSON pointer (RFC 6901)."""
    return str(step)[:_LONGEST_NAME].replace("~", "~0").replace("/", "~1")
