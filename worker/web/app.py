"""The WSGI application of `web`."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, make_wsgi_app

from worker.decisions.table import Table
from worker.evidence.ledger_identity import LedgerWatch
from worker.ledger import Ledger
from worker.ledger.connection import connect
from worker.ledger.redis_health import RedisHealth
from worker.ledger.worker_registry import WorkerRegistry
from worker.messaging.unread import Unread
from worker.observability.metrics import Metrics
from worker.web.readiness import Readiness
from worker.web.responses import Line, Page

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from worker.settings import Settings

#: With retries, a call to a hanging Redis fails after four times this. Prometheus waits for 10 s.
REDIS_TIMEOUT_S: Final = 1.0


class App:
    """Serves `/healthz`, `/readyz` and `/metrics`. Connects to Redis at the first request that needs it.

    Raises ``ConfigError`` for a decision table that cannot be read.
    """

    def __init__(self, settings: Settings) -> None:
        redis = connect(settings.redis_url, timeout_s=REDIS_TIMEOUT_S)
        ledgers = LedgerWatch(Ledger(redis))
        self.readiness = Readiness(WorkerRegistry(redis), RedisHealth(redis), ledgers, settings.regions)
        registry = CollectorRegistry()
        table, unread = Table.load(settings.decisions_file), Unread(settings.broker_url)
        registry.register(Metrics(redis, settings.regions, table, ledgers, unread))
        self._pages: dict[str, WSGIApplication] = {
            "/healthz": Page(lambda: Line(HTTPStatus.OK, "ok")),
            "/readyz": Page(self._ready),
            "/metrics": make_wsgi_app(registry),
        }
        self._nothing = Page(lambda: Line(HTTPStatus.NOT_FOUND, f"there are {', '.join(self._pages)}"))

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return self._pages.get(environ["PATH_INFO"], self._nothing)(environ, start_response)

    def _ready(self) -> Line:
        why = self.readiness.look()
        return Line(HTTPStatus.SERVICE_UNAVAILABLE, why) if why else Line(HTTPStatus.OK, "ok")
