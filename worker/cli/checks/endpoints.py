"""The endpoints that receive webhooks: whether their file can be used."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from worker.cli.checks.finding import Finding, Level
from worker.decisions.endpoints import load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.decisions.endpoints import Endpoint
    from worker.settings import Settings

#: How long before its end the last secret of an endpoint is a warning.
SOON: Final = timedelta(days=14)


def check_endpoints(settings: Settings) -> Iterator[Finding]:
    """Raises ``ConfigError`` for a file that cannot be used."""
    for endpoint in load(settings.endpoints_file).values():
        yield _checked(endpoint, datetime.now(UTC))


def _checked(endpoint: Endpoint, now: datetime) -> Finding:
    name = f"endpoint {endpoint.name}"
    said = f"{endpoint.origin}, {len(endpoint.signing(now))} secrets sign"
    if not endpoint.signing(now + SOON):
        return Finding(
            name,
            Level.WARNING,
            f"{said}; the last one ends within {SOON.days} days",
            "add a secret without until to EKYC_ENDPOINTS_FILE",
        )
    return Finding(name, Level.OK, said)
