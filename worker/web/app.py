"""The WSGI application of `web`."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from flask import Response
from prometheus_client import CollectorRegistry, make_wsgi_app

from worker.decisions.endpoints import load as load_endpoints
from worker.decisions.table import Table
from worker.evidence.ledger_identity import LedgerWatch
from worker.ledger import Ledger
from worker.ledger.connection import connect
from worker.ledger.redis_health import RedisHealth
from worker.ledger.worker_registry import WorkerRegistry
from worker.messaging.unread import Unread
from worker.observability.metrics import Metrics
from worker.web.api.application import make_application
from worker.web.api.problems import NOT_FOUND, Problem
from worker.web.api.token_file import TokenFile
from worker.web.console.application import ROOT, make_console
from worker.web.console.rendering import HEADERS
from worker.web.console.user_file import UserFile
from worker.web.readiness import Readiness
from worker.web.responses import Line, Page

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from worker.settings import Settings

#: With retries, a call to a hanging Redis fails after four times this. Prometheus waits for 10 s.
REDIS_TIMEOUT_S: Final = 1.0


#: What a browser shows where the console has no users.
_CLOSED: Final = Response(
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>eKYC console</title>'
    "<h1>The console is closed: it has no users</h1>"
    "<p>On the machine of this server, set EKYC_CONSOLE_USERS_FILE and run "
    "<code>ekyc console user add NAME</code>.</p></html>",
    HTTPStatus.NOT_FOUND,
    {"Cache-Control": "no-store", **HEADERS},
    content_type="text/html; charset=utf-8",
)


def is_api(path: str) -> bool:
    """Whether a path belongs to the HTTP API."""
    return path in {"/v1", "/docs", "/openapi.json"} or path.startswith(("/v1/", "/docs/"))


class App:
    """Serves `/healthz`, `/readyz`, `/metrics`, the HTTP API and the console. Connects to Redis when it has to.

    Raises ``ConfigError`` for a decision table, or a file of tokens or users, that cannot be read.
    """

    def __init__(self, settings: Settings) -> None:
        redis = connect(settings.redis_url, timeout_s=REDIS_TIMEOUT_S)
        ledgers = LedgerWatch(Ledger(redis))
        self.readiness = Readiness(
            WorkerRegistry(redis), RedisHealth(redis), ledgers, settings.regions, redis
        )
        registry = CollectorRegistry()
        endpoints = load_endpoints(settings.endpoints_file, with_secrets=False)
        table, unread = Table.load(settings.decisions_file, endpoints), Unread(settings.broker_url)
        registry.register(
            Metrics(redis, settings.regions, table, ledgers, unread, endpoints=tuple(endpoints))
        )
        self._pages: dict[str, WSGIApplication] = {
            "/healthz": Page(lambda: Line(HTTPStatus.OK, "ok")),
            "/readyz": Page(self._ready),
            "/metrics": make_wsgi_app(registry),
        }
        self._api = make_application(settings, redis, TokenFile(settings.api_tokens_file))
        self._users = UserFile(settings.console_users_file)
        self._console = make_console(settings, redis, self._users, ledgers=ledgers, unread=unread)
        self._closed = Problem(
            NOT_FOUND, "the console has no users: see `ekyc console user add --help`"
        ).response()
        self._nothing = Problem(NOT_FOUND, f"there are {', '.join(self._pages)} and /v1/…").response()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if is_api(path):
            return self._api.wsgi_app(environ, start_response)
        if path == ROOT or path.startswith(f"{ROOT}/"):
            is_browser = "text/html" in environ.get("HTTP_ACCEPT", "")
            closed = _CLOSED if is_browser else self._closed
            console = self._console.wsgi_app if self._users.is_open else closed
            return console(environ, start_response)
        return self._pages.get(path, self._nothing)(environ, start_response)

    def _ready(self) -> Line:
        why = self.readiness.look()
        return Line(HTTPStatus.SERVICE_UNAVAILABLE, why) if why else Line(HTTPStatus.OK, "ok")
