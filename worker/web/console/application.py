"""The Flask application of the console, below `/console`."""

from __future__ import annotations

from http import HTTPStatus
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

import structlog
from flask import Flask, current_app, request
from werkzeug.exceptions import HTTPException

from worker.errors import LedgerDamaged, LedgerUnavailable, RightMissing
from worker.web.api.current import ApiRequest
from worker.web.console import access, rendering
from worker.web.console.parts import Parts
from worker.web.console.passwords import TooMany
from worker.web.console.screens import (
    audit,
    decisions,
    deliveries,
    evidence,
    login,
    now,
    quarantine,
    verifications,
)
from worker.web.damage_log import DamageLog

if TYPE_CHECKING:
    from flask import Request, Response
    from flask.typing import ResponseReturnValue
    from redis import Redis
    from werkzeug.routing import MapAdapter

    from worker.evidence.ledger_identity import LedgerWatch
    from worker.messaging.unread import Unread
    from worker.settings import Settings
    from worker.web.console.user_file import UserFile

#: Where the console is.
ROOT: Final = "/console"

_SCREENS: Final = (
    audit.blueprint,
    decisions.blueprint,
    deliveries.blueprint,
    login.blueprint,
    now.blueprint,
    quarantine.blueprint,
    verifications.blueprint,
)

_WAITING: Final = (
    "This page loads again by itself until Redis answers. If this stays, run `ekyc doctor` on the server."
)

#: Loading the address of a form again would not send the form again.
_UNCERTAIN: Final = (
    "What you asked for was not done, or not all of it: go back, and look before you try again. "
    "If this stays, run `ekyc doctor` on the server."
)

#: A wait would not help.
_RIGHTLESS: Final = " Ask an administrator; then load this page again."

_log = structlog.get_logger(__name__)


class _Request(ApiRequest):
    """A request whose uploaded files stay in memory: Flask would write a large one to the disk."""

    def _get_file_stream(
        self,
        total_content_length: int | None,
        content_type: str | None,
        filename: str | None = None,
        content_length: int | None = None,
    ) -> BytesIO:
        del total_content_length, content_type, filename, content_length
        return BytesIO()


class _Application(Flask):
    def log_exception(self, exc_info: Any) -> None:
        """Log a bug without the path and the query, which Flask would log."""
        rule = request.url_rule
        _log.error("console_failed", route=rule.rule if rule else "none", exc_info=exc_info)

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Match and build URLs without the header Host: all of them are paths, and the header may be unusable."""
        if request is None:
            return super().create_url_adapter(request)
        return self.url_map.bind_to_environ({**request.environ, "HTTP_HOST": "localhost"})


def make_console(
    settings: Settings,
    redis: Redis,
    users: UserFile,
    *,
    ledgers: LedgerWatch | None = None,
    unread: Unread | None = None,
) -> Flask:
    """The console on a Redis. Needs no connection before the first request.

    `ledgers` and `unread` are those that the metrics of the process use, if it has some.
    """
    app = _Application(__name__, static_folder=None)
    app.request_class = _Request
    app.config |= {"PROPAGATE_EXCEPTIONS": False, "PROVIDE_AUTOMATIC_OPTIONS": False}
    # No redirect of the router: it would name the scheme http, also behind a proxy with TLS.
    app.url_map.merge_slashes = app.url_map.strict_slashes = False
    known = Parts.of(settings, redis, users, ledgers, unread)
    known.attach(app.extensions)
    rendering.set_up(app)
    app.before_request(access.admit)
    for blueprint in _SCREENS:
        app.register_blueprint(blueprint, url_prefix=ROOT)
    if settings.console_evidence:
        app.register_blueprint(evidence.blueprint, url_prefix=ROOT)
    damaged = DamageLog(redis, settings.regions, known.endpoints)
    app.register_error_handler(LedgerDamaged, lambda error: _damaged(damaged.line(error)))
    app.register_error_handler(LedgerUnavailable, _unavailable)
    app.register_error_handler(TooMany, _busy)
    app.register_error_handler(HTTPException, _failed)
    return app


def _unavailable(error: LedgerUnavailable) -> Response:
    is_read = request.method in {"GET", "HEAD"}
    if isinstance(error, RightMissing):
        if not access.is_live():
            _log.error("console_right_missing", why=str(error))
        return rendering.page(
            "error.html",
            HTTPStatus.SERVICE_UNAVAILABLE,
            title="The account of this server lacks a right on Redis",
            text=f"{_sentence(str(error))}.{_RIGHTLESS if is_read else f' {_UNCERTAIN}'}",
            again_s=None,
        )
    return rendering.page(
        "error.html",
        HTTPStatus.SERVICE_UNAVAILABLE,
        title="Redis cannot be used",
        text=_WAITING if is_read else _UNCERTAIN,
        again_s=5 if is_read else None,
    )


def _damaged(line: str) -> Response:
    is_read = request.method in {"GET", "HEAD"}
    return rendering.page(
        "error.html",
        HTTPStatus.SERVICE_UNAVAILABLE,
        title="The ledger in Redis is damaged",
        text=f"{_sentence(line)}.{_RIGHTLESS if is_read else f' {_UNCERTAIN}'}",
        again_s=None,
    )


def _back() -> str | None:
    """The first page of the screen that failed. None: it is that page that failed, without a filter."""
    view = f"{request.blueprint}.show"
    is_itself = view == request.endpoint and not request.args
    return view if view in current_app.view_functions and not is_itself else None


def _sentence(said: str) -> str:
    return said[0].upper() + said[1:]


def _busy(error: TooMany) -> Response:
    del error
    return rendering.page(
        "error.html",
        HTTPStatus.SERVICE_UNAVAILABLE,
        title="Too many people log in at this moment",
        text="Try again in a few seconds.",
        again_s=None,
    )


def _failed(error: HTTPException) -> ResponseReturnValue:
    code = error.code or HTTPStatus.INTERNAL_SERVER_ERROR.value
    texts = {
        HTTPStatus.NOT_FOUND: "There is no such page.",
        HTTPStatus.METHOD_NOT_ALLOWED: "This address takes a form only: open the page that has the form.",
        HTTPStatus.INTERNAL_SERVER_ERROR: "The server failed. Its log says why.",
    }
    text = texts.get(HTTPStatus(code)) or error.description or ""
    headers = dict(error.get_headers()) if code == HTTPStatus.METHOD_NOT_ALLOWED else {}
    response = rendering.page(
        "error.html", code, title=HTTPStatus(code).phrase, text=text, again_s=None, back=_back()
    )
    if allowed := headers.get("Allow"):
        response.headers["Allow"] = allowed
    return response
