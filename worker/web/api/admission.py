"""What every request must pass before a resource sees it: a token, its scope, the rate limit, and an acceptable body.

In this order, so that a request without a valid token costs neither Redis nor memory. The vendor's notifications carry
their token in the query, because the vendor sends no header: see `worker.web.api.notifications`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

from flask import current_app

from worker.policy import api_tokens
from worker.web.api.backend import backend
from worker.web.api.current import current
from worker.web.api.failed_tokens import SECRET, bearer
from worker.web.api.problems import (
    BAD_REQUEST,
    DISABLED,
    FORBIDDEN,
    LENGTH_REQUIRED,
    MEDIA_TYPE,
    RATE_LIMITED,
    TOO_LARGE,
    UNAUTHORIZED,
    Problem,
)
from worker.web.slow_heads import LONGEST_BODY, acceptable_length

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.policy.api_tokens import Token
    from worker.web.api.backend import Backend
    from worker.web.api.current import ApiRequest

_View = TypeVar("_View", bound="Callable[..., Any]")

#: The scope of a view that anyone may call.
PUBLIC: Final = "public"

_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="ekyc"'}


def needs(scope: str) -> Callable[[_View], _View]:
    """Mark a view with the scope that its callers need. A view without a mark can be called by none."""

    def mark(view: _View) -> _View:
        view.scope = scope  # type: ignore[attr-defined]
        return view

    return mark


def admit() -> None:
    """Raises ``Problem`` for a request that no resource sees."""
    request = current()
    scope = _scope(request)
    if scope == PUBLIC:
        return
    parts = backend()
    token = _token(request, parts, scope)
    if token is None:
        return
    request.token_name = token.name
    request.pipeline = token.pipeline
    spent = parts.limiter.spend(token)
    request.rate_limit = spent.headers
    if not spent.admitted:
        raise Problem(
            RATE_LIMITED, f"{spent.quota} requests are allowed at once; wait {spent.retry_after_s} s"
        )
    if scope is None:
        return
    if scope not in token.scopes:
        raise Problem(FORBIDDEN, f"this needs a token with the scope {scope}")
    _check_query(request)
    if request.method == "POST":
        _check_body(request)


def _scope(request: ApiRequest) -> str | None:
    """The scope that the request needs; None where no view answers it."""
    endpoint = request.endpoint
    return None if endpoint is None else getattr(current_app.view_functions[endpoint], "scope", "no scope")


def _token(request: ApiRequest, parts: Backend, scope: str | None) -> Token | None:
    """The valid token of the request. None: it has none, and needs none, because no view answers it."""
    file, is_optional = parts.tokens, scope is None
    if not file.is_configured:
        if is_optional:
            return None
        raise Problem(
            DISABLED, "EKYC_API_TOKENS_FILE is not set: run `ekyc token new`, and name the file there"
        )
    secret = _secret(request, scope)
    token = api_tokens.find(file.tokens(), secret) if secret else None
    if token is not None and not token.is_expired(datetime.now(UTC)):
        return token
    if is_optional:
        return None
    parts.failures.count(request.environ.get("REMOTE_ADDR", ""))
    if not secret:
        raise Problem(UNAUTHORIZED, "send a token in the header Authorization: Bearer …", headers=_CHALLENGE)
    raise Problem(
        UNAUTHORIZED,
        "the token is not valid" if token is None else "the token has expired",
        headers={"WWW-Authenticate": _CHALLENGE["WWW-Authenticate"] + ', error="invalid_token"'},
    )


def _secret(request: ApiRequest, scope: str | None) -> str:
    if scope == "notify":
        return request.args.get(SECRET, "")
    return bearer(request.environ.get("HTTP_AUTHORIZATION", ""))


def _check_query(request: ApiRequest) -> None:
    if not request.environ.get("QUERY_STRING"):
        return
    for name, values in request.args.lists():
        if len(values) > 1:
            raise Problem(
                BAD_REQUEST,
                "a parameter is given twice",
                errors=[{"parameter": name[:64], "detail": "is given twice"}],
            )


def _check_body(request: ApiRequest) -> None:
    """The size and the type of what is sent. Nothing is read yet."""
    environ = request.environ
    if environ.get("HTTP_TRANSFER_ENCODING"):
        raise Problem(LENGTH_REQUIRED, "send the body with its Content-Length, not in chunks")
    length = environ.get("CONTENT_LENGTH") or "0"
    if acceptable_length(length) is None:
        raise Problem(TOO_LARGE, f"a body may have {LONGEST_BODY} bytes")
    if int(length) and not _is_json(request):
        raise Problem(MEDIA_TYPE, "send Content-Type: application/json, in UTF-8")


def _is_json(request: ApiRequest) -> bool:
    if request.environ.get("CONTENT_TYPE") == "application/json":
        return True
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    return request.mimetype == "application/json" and charset in {"utf-8", "utf8"}
