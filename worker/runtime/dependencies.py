"""Waiting for Redis and the broker at startup, so that processes may start in any order."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from redis.exceptions import NoPermissionError, ResponseError

from worker.decisions.delivery import QUEUE
from worker.errors import BrokerUnavailable, ConfigError
from worker.ledger import redis_health, rights
from worker.ledger.connection import connect, translated
from worker.messaging.broker_faults import broker_fault
from worker.messaging.publish import BROKEN
from worker.process import await_part
from worker.server_faults import described

if TYPE_CHECKING:
    from celery import Celery
    from redis import Redis

    from worker.settings import Settings

#: Also for a broker that accepts the connection but does not respond.
BROKER_TIMEOUT_S: Final = 5.0

#: The key of a write that tests whether the broker's Redis takes writes, as ``worker.ledger.redis_health`` does for
#: the ledger's. It is named like kombu's own keys, so that an account that may write those may write this one.
BROKER_PROBE: Final = "_kombu.start"


def await_redis(url: str, limit_s: float) -> None:
    """Wait until the ledger's Redis takes writes. Raises ``LedgerUnavailable`` once `limit_s` have passed."""
    redis = connect(url)

    def write() -> None:
        # `check_rights` finds and names missing rights.
        with translated(), suppress(NoPermissionError):
            redis.set(redis_health.KEY, b"", px=redis_health.PROBE_MS)

    await_part(write, limit_s)
    redis.close()


def await_broker(app: Celery, limit_s: float) -> None:
    """Wait for the broker. Raises ``BrokerUnavailable`` once `limit_s` have passed."""
    await_part(lambda: _connect(app), limit_s)


def await_room(app: Celery, limit_s: float) -> None:
    """If the broker is a Redis, wait until it takes writes. Raises ``BrokerUnavailable`` once `limit_s` have passed."""
    await_part(lambda: _write(app), limit_s)


def check_rights(app: Celery, settings: Settings) -> None:
    """Raise ``ConfigError`` if an account lacks a right on Redis: the worker would fail again and again."""
    try:
        with connect(settings.redis_url) as redis, translated():
            _require("REDIS_URL", redis, rights.of_ledger(settings.regions))
        with app.connection_for_write(connect_timeout=BROKER_TIMEOUT_S) as connection:
            if connection.transport.driver_type == "redis":
                redis = connection.default_channel.client  # type: ignore[attr-defined]
                database = redis.connection_pool.connection_kwargs["db"]
                needs = rights.of_broker(settings.queue, QUEUE.name, database)
                _require("CELERY_BROKER_URL, or of REDIS_URL if that is not set,", redis, needs)
    except BROKEN as error:
        found = broker_fault(error)
        raise BrokerUnavailable(f"the broker {found.said}; {found.todo}") from None


def _require(name: str, redis: Redis, needs: rights.Needs) -> None:
    if lacking := rights.missing(redis, needs):
        raise ConfigError(
            f"the account of {name} lacks rights on Redis: run `{rights.line(redis, lacking)}`, "
            "and see docs/redis.md#the-account"
        )


def _write(app: Celery) -> None:
    try:
        with app.connection_for_write(connect_timeout=BROKER_TIMEOUT_S) as connection:
            if connection.transport.driver_type == "redis":
                connection.default_channel.client.set(BROKER_PROBE, b"", px=redis_health.PROBE_MS)  # type: ignore[attr-defined]
    except NoPermissionError:
        return  # `check_rights` reports it
    except ResponseError as error:
        raise BrokerUnavailable(
            f"the broker refuses to write: {described(error)}; run `ekyc doctor`"
        ) from None
    except BROKEN as error:
        found = broker_fault(error)
        raise BrokerUnavailable(f"the broker {found.said}; {found.todo}") from None


def _connect(app: Celery) -> None:
    try:
        with app.connection_for_read(
            connect_timeout=BROKER_TIMEOUT_S, transport_options={"socket_timeout": BROKER_TIMEOUT_S}
        ) as connection:
            # One attempt for each URL in CELERY_BROKER_URL.
            connection.ensure_connection(
                max_retries=len(connection.alt), interval_start=0, reraise_as_library_errors=False
            )
    except BROKEN as error:
        found = broker_fault(error)
        raise BrokerUnavailable(f"the broker {found.said}; {found.todo}") from None
    except (ValueError, KeyError):
        raise ConfigError(
            "CELERY_BROKER_URL, or REDIS_URL if that is not set, is not a broker URL: "
            "set one such as redis://:password@host:6379/0"
        ) from None
