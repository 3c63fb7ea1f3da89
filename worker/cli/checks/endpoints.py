"""The endpoints that receive webhooks: whether their file can be used, and how they do."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from worker.cli.checks.finding import Finding, Level
from worker.decisions.endpoints import load
from worker.errors import LedgerUnavailable
from worker.ledger.connection import connect
from worker.ledger.webhooks import Webhooks
from worker.policy.webhooks import DOWN, LIMITS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from worker.decisions.endpoints import Endpoint
    from worker.ledger.webhooks import EndpointState
    from worker.settings import Settings

#: How long before its end the last secret of an endpoint is a warning.
SOON: Final = timedelta(days=14)

#: From this strain on, an endpoint is a warning.
STRAINED: Final = 0.5


def check_endpoints(settings: Settings) -> Iterator[Finding]:
    """Raises ``ConfigError`` for a file that cannot be used."""
    endpoints = load(settings.endpoints_file)
    states: list[EndpointState] = []
    # Redis has a check of its own.
    with suppress(LedgerUnavailable), connect(settings.redis_url) as redis:
        states = [
            each for region in settings.regions for each in Webhooks(redis).endpoints(region, endpoints)
        ]
    for endpoint in endpoints.values():
        yield _secrets(endpoint, datetime.now(UTC))
    yield from troubles(states, endpoints)


def troubles(states: Sequence[EndpointState], endpoints: Mapping[str, Endpoint]) -> Iterator[Finding]:
    """A warning for each endpoint of a region that a person should look at."""
    for each in states:
        name, left = f"endpoint {each.name}", each.waiting + each.failed
        if each.name not in endpoints and left:
            yield Finding(
                name,
                Level.WARNING,
                f"{left} deliveries of {each.region} wait for it, and EKYC_ENDPOINTS_FILE does not have it",
                "add it again until they are sent",
            )
        elif each.is_paused:
            yield Finding(
                name,
                Level.WARNING,
                f"is paused in {each.region} ({each.paused_why}): {each.waiting} deliveries wait",
                f"run ekyc deliveries resume {each.name} once it works (docs/runbooks.md)",
            )
        elif each.strain(LIMITS) >= STRAINED:
            yield Finding(
                name,
                Level.WARNING,
                f"acknowledges nothing in {each.region}: it is paused soon",
                f"run ekyc deliveries list --endpoint {each.name}",
            )
        elif each.failures_in_a_row >= DOWN.after and each.waiting:
            last = f", the last with {each.answers[0].said}" if each.answers else ""
            yield Finding(
                name,
                Level.WARNING,
                f"has failed {each.failures_in_a_row} times in a row in {each.region}{last}: {each.waiting} deliveries "
                "wait, and one at a time is tried",
                f"run ekyc deliveries list --endpoint {each.name}",
            )
        elif each.failed:
            yield Finding(
                name,
                Level.WARNING,
                f"did not take {each.failed} deliveries of {each.region}",
                f"run ekyc deliveries list --endpoint {each.name} --state failed",
            )


def _secrets(endpoint: Endpoint, now: datetime) -> Finding:
    name = f"endpoint {endpoint.name}"
    count = len(endpoint.signing(now))
    said = f"{endpoint.origin}, signed with {count} secret{'s' * (count != 1)}"
    if not endpoint.signing(now + SOON):
        return Finding(
            name,
            Level.WARNING,
            f"{said}; the last one ends within {SOON.days} days",
            "add a secret without until to EKYC_ENDPOINTS_FILE",
        )
    return Finding(name, Level.OK, said)
