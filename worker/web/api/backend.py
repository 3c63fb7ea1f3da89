"""What the resources of the API stand on, one of each for a process."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from flask import current_app

from worker.decisions.endpoints import load
from worker.ledger import Ledger, Stats
from worker.ledger.audit import AuditLog
from worker.ledger.decision_feed import DecisionFeed
from worker.ledger.erasures import Erasures
from worker.ledger.webhooks import Webhooks
from worker.web.api.failed_tokens import Failures
from worker.web.api.gate import Gate
from worker.web.api.group_enqueue import GroupEnqueue
from worker.web.api.rate_limit import RateLimiter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis import Redis

    from worker.decisions.endpoints import Endpoint
    from worker.settings import Settings
    from worker.web.api.token_file import TokenFile

_NAME: Final = "ekyc"


@dataclass(frozen=True, slots=True)
class Backend:
    """The ledger in its parts, the tokens and the settings. Safe to share between threads."""

    settings: Settings
    redis: Redis
    ledger: Ledger
    singles: GroupEnqueue
    stats: Stats
    webhooks: Webhooks
    audit: AuditLog
    #: Those of the file, by name, without their secrets.
    endpoints: Mapping[str, Endpoint]
    feed: DecisionFeed
    erasures: Erasures
    limiter: RateLimiter
    tokens: TokenFile
    #: For costly requests.
    gate: Gate = field(default_factory=Gate)
    failures: Failures = field(default_factory=Failures)

    @classmethod
    def of(cls, settings: Settings, redis: Redis, tokens: TokenFile) -> Backend:
        ledger = Ledger(redis)
        return cls(
            settings,
            redis,
            ledger,
            GroupEnqueue(ledger),
            Stats(redis),
            Webhooks(redis, retention_s=settings.retention_s),
            AuditLog(redis),
            load(settings.endpoints_file, with_secrets=False),
            DecisionFeed(redis, settings.regions),
            Erasures(redis),
            RateLimiter(redis),
            tokens,
        )

    def attach(self, extensions: dict[str, Any]) -> None:
        """Make `backend` return this one within the application that has these extensions."""
        extensions[_NAME] = self


def backend() -> Backend:
    """That of the application which handles the request."""
    found: Backend = current_app.extensions[_NAME]
    return found
