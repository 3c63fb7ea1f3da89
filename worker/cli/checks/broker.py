"""The broker: whether messages can be put there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kombu import Connection

from worker.cli.checks.finding import Finding, Level

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.settings import Settings

TIMEOUT_S: Final = 5


def check_broker(settings: Settings) -> Iterator[Finding]:
    """Connects, unless it is the Redis of the ledger."""
    if settings.broker_url == settings.redis_url:
        yield Finding("broker", Level.OK, "the ledger's Redis")
        return
    try:
        with Connection(settings.broker_url, connect_timeout=TIMEOUT_S) as connection:
            connection.ensure_connection(max_retries=1, timeout=TIMEOUT_S)
            place = f"{connection.transport.driver_type} at {connection.hostname}"
    except Exception as error:  # noqa: BLE001 - kombu passes on whatever any of its drivers raises
        said = f"cannot be used ({type(error).__name__})"
        yield Finding("broker", Level.ERROR, said, "check that it runs and CELERY_BROKER_URL")
    else:
        yield Finding("broker", Level.OK, place)
