"""The Flask application of the API."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import structlog
from flask import Flask, Response

from worker.errors import LedgerDamaged, LedgerUnavailable
from worker.ledger.decision_feed import CursorExpired
from worker.web.api import (
    closings,
    costly,
    decisions,
    deliveries,
    docs_page,
    notifications,
    reconciliations,
    request_log,
    verifications,
    webhook_keys,
)
from worker.web.api.admission import PUBLIC, admit, needs
from worker.web.api.backend import Backend
from worker.web.api.current import ApiRequest, current
from worker.web.api.failed_tokens import Guard
from worker.web.api.openapi import document, make_api
from worker.web.api.problems import GONE, KINDS, TYPE, UNAVAILABLE, Problem
from worker.web.damage_log import DamageLog

if TYPE_CHECKING:
    from redis import Redis

    from worker.settings import Settings
    from worker.web.api.token_file import TokenFile

#: Seconds after which a request that Redis could not serve is worth sending again.
UNAVAILABLE_RETRY_S: Final = 5

_BLUEPRINTS: Final = (
    verifications.blueprint,
    closings.blueprint,
    decisions.blueprint,
    deliveries.blueprint,
    reconciliations.blueprint,
    notifications.blueprint,
    webhook_keys.blueprint,
)

_log = structlog.get_logger(__name__)


class _Application(Flask):
    request_class = ApiRequest

    def ensure_sync(self, func: Any) -> Any:
        """No view is a coroutine: asking takes time at each of seven calls of a request."""
        return func

    def log_exception(self, exc_info: Any) -> None:
        """Log a bug without the path and the query, which Flask would log."""
        rule = current().url_rule
        route = rule.rule if rule else "none"
        _log.error("api_failed", route=route, exc_info=exc_info)


def make_application(settings: Settings, redis: Redis, tokens: TokenFile) -> Flask:
    """The API on a Redis. Needs no connection before the first request."""
    app = _Application(__name__, static_folder=None)
    app.config |= {"PROPAGATE_EXCEPTIONS": False, "PROVIDE_AUTOMATIC_OPTIONS": False}
    # A path is what it is: no redirect leads to another one.
    app.url_map.merge_slashes = False
    backend = Backend.of(settings, redis, tokens)
    backend.attach(app.extensions)
    app.before_request(admit)
    app.after_request(request_log.finish)
    costly.watch(app)
    api = make_api(app)
    for blueprint in _BLUEPRINTS:
        api.register_blueprint(blueprint)
    _handle_errors(app, DamageLog(redis, settings.regions, backend.endpoints))
    description = document(api)
    _add_page(app, "/openapi.json", "application/json", json.dumps(description, indent=1).encode())
    titles = {TYPE + kind.slug: f"{kind.status.value} {kind.title}" for kind in KINDS}
    html = docs_page.page(description, titles)
    _add_page(app, "/docs", "text/html; charset=utf-8", html, {"Content-Security-Policy": docs_page.POLICY})
    _add_page(app, "/docs/docs.css", "text/css; charset=utf-8", docs_page.style())
    app.wsgi_app = Guard(app.wsgi_app, tokens, backend.failures)  # type: ignore[method-assign]
    return app


def _handle_errors(app: Flask, damaged: DamageLog) -> None:
    def unavailable(error: LedgerUnavailable) -> Response:
        why = f"; {damaged.line(error)}" if isinstance(error, LedgerDamaged) else ""
        return Problem(
            UNAVAILABLE,
            "a part of a batch may be accepted: send the request again, what was accepted changes nothing"
            + why,
            headers={"Retry-After": str(UNAVAILABLE_RETRY_S)},
        ).response()

    app.register_error_handler(Problem, lambda error: error.response())
    app.register_error_handler(LedgerUnavailable, unavailable)
    app.register_error_handler(CursorExpired, lambda error: Problem(GONE, str(error)).response())


def _add_page(
    app: Flask, path: str, content_type: str, body: bytes, headers: dict[str, str] | None = None
) -> None:
    @needs(PUBLIC)
    def view() -> Response:
        return Response(body, 200, headers, content_type=content_type)

    app.add_url_rule(path, path, view, methods=["GET"])
