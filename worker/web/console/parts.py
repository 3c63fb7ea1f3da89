"""What the screens stand on, one of each for a process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from flask import current_app

from worker.decisions.deliveries import states
from worker.decisions.endpoints import load
from worker.decisions.table import Table
from worker.evidence.ledger_identity import LedgerWatch
from worker.ledger import Ledger, Stats
from worker.ledger.audit import AuditLog
from worker.ledger.webhooks import Webhooks
from worker.ledger.worker_registry import WorkerRegistry
from worker.messaging.unread import Unread
from worker.web.console.attempts import Attempts
from worker.web.console.census import Census
from worker.web.console.comparisons import Comparisons
from worker.web.console.live_redis import LiveRedis
from worker.web.console.proxies import Proxies
from worker.web.console.results import Results
from worker.web.console.sessions import Sessions
from worker.web.console.shared_reading import SharedReading

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis import Redis

    from worker.decisions.endpoints import Endpoint
    from worker.ledger.webhooks import EndpointState
    from worker.settings import Settings
    from worker.web.console.user_file import UserFile
    from worker.web.console.viewer import Viewer

_NAME: Final = "ekyc-console"


@dataclass(frozen=True, slots=True)
class Parts:
    """The ledger in its parts, the users and the settings. Safe to share between threads."""

    settings: Settings
    redis: Redis
    ledger: Ledger
    stats: Stats
    registry: WorkerRegistry
    webhooks: Webhooks
    #: Those of the file, by name, without their secrets.
    endpoints: Mapping[str, Endpoint]
    users: UserFile
    audit: AuditLog
    sessions: Sessions
    #: Asks what the scripts of open tabs want to know, unless a part of its own shares it.
    live_redis: LiveRedis
    census: Census
    attempts: Attempts
    proxies: Proxies
    results: Results
    #: The decisions in the pipeline's queue.
    unread: Unread
    #: The table in use, as its file had it at the start.
    table: Table
    comparisons: Comparisons
    #: How the endpoints do, also those that are not in the file.
    endpoint_states: SharedReading[list[EndpointState]]
    #: None: nobody sees evidence in the console.
    viewer: Viewer | None

    @classmethod
    def of(
        cls,
        settings: Settings,
        redis: Redis,
        users: UserFile,
        ledgers: LedgerWatch | None = None,
        unread: Unread | None = None,
    ) -> Parts:
        unread = unread or Unread(settings.broker_url)
        webhooks = Webhooks(redis, retention_s=settings.retention_s)
        endpoints = load(settings.endpoints_file, with_secrets=False)
        live_redis = LiveRedis()
        return cls(
            settings,
            redis,
            Ledger(redis),
            Stats(redis),
            WorkerRegistry(redis),
            webhooks,
            endpoints,
            users,
            AuditLog(redis),
            Sessions(redis, live_redis),
            live_redis,
            Census(
                redis,
                settings.regions,
                endpoints=endpoints,
                ledgers=ledgers or LedgerWatch(Ledger(redis)),
                unread=unread,
            ),
            Attempts(redis),
            Proxies(settings.console_proxies),
            Results(redis),
            unread,
            Table.load(settings.decisions_file, endpoints),
            Comparisons(redis),
            SharedReading(lambda: states(webhooks, settings.regions, endpoints)),
            _viewer(settings, redis, endpoints),
        )

    def attach(self, extensions: dict[str, Any]) -> None:
        """Make `parts` return this one within the application that has these extensions."""
        extensions[_NAME] = self


def _viewer(settings: Settings, redis: Redis, endpoints: Mapping[str, Endpoint]) -> Viewer | None:
    if not settings.console_evidence:
        return None
    from worker.web.console.viewer import Viewer  # noqa: PLC0415 - obstore is imported when it is needed

    return Viewer(settings, redis, endpoints)


def parts() -> Parts:
    """Those of the application which handles the request."""
    found: Parts = current_app.extensions[_NAME]
    return found
