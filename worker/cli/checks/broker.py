"""Checks of the broker: whether it takes messages, and whether it keeps them."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from kombu import Connection
from redis.exceptions import RedisError

from worker.cli.checks.finding import Finding, Level
from worker.cli.checks.keeping import BROKER, check_keeping, info
from worker.cli.checks.ledger import account
from worker.decisions.delivery import QUEUE
from worker.errors import ConfigError
from worker.ledger import rights
from worker.ledger.connection import connect
from worker.messaging import redis_transport
from worker.messaging.broker_faults import broker_fault
from worker.messaging.publish import BROKEN
from worker.time_budget import BROKER_RESTORE_S, BROKER_VISIBILITY_S

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from redis import Redis

    from worker.settings import Settings

TIMEOUT_S: Final = 5

#: The first version with ZRANGE BYSCORE and ZADD GT, which kombu's transport needs.
OLDEST_REDIS: Final = (6, 2)

#: How safe an enqueue as a Celery task is, by the broker's type: until a worker runs it, only the message exists.
_BY_NAME: Final = {
    "redis": (
        "a killed worker may lose one message, others are delivered again within "
        f"{BROKER_VISIBILITY_S + BROKER_RESTORE_S} s, or once a full Redis has free memory; "
        "`ekyc enqueue` and worker.client need no message (docs/redis.md)"
    ),
    "amqp": "a message is kept until a worker has run it",
}


def check_broker(settings: Settings) -> Iterator[Finding]:
    """Check the broker. If it is a Redis other than the ledger's, it gets the same checks as the ledger's."""
    if settings.broker_url == settings.redis_url:
        # `check_ledger` reports whether it answers.
        yield Finding("broker", Level.OK, "the same Redis as the ledger's")
        yield from _same_account(settings)
        yield _by_name("redis")
        return
    tls = redis_transport.tls(settings.broker_url)
    try:
        options = {"socket_timeout": TIMEOUT_S, "socket_connect_timeout": TIMEOUT_S}
        with Connection(
            settings.broker_url, connect_timeout=TIMEOUT_S, ssl=tls or False, transport_options=options
        ) as connection:
            connection.ensure_connection(max_retries=1, timeout=TIMEOUT_S, reraise_as_library_errors=False)
            kind = connection.transport.driver_type
            looked = list(_looked_at(connection, kind, settings))
    except BROKEN as error:
        found = broker_fault(error, "CELERY_BROKER_URL")
        yield Finding("broker", Level.ERROR, f"cannot be used: it {found.said}", found.todo)
    except Exception as error:  # noqa: BLE001 - kombu passes on whatever any of its drivers raises
        said = f"cannot be used ({type(error).__name__})"
        yield Finding("broker", Level.ERROR, said, "check that it runs, and check CELERY_BROKER_URL")
    else:
        yield from looked
        yield _by_name(kind)


def _looked_at(connection: Connection, kind: str, settings: Settings) -> Iterator[Finding]:
    place = f"{kind} at {connection.hostname}"
    if kind != "redis":
        yield Finding("broker", Level.OK, place)
        return
    # Kombu's own client, because its URLs support more than those of redis-py.
    redis = connection.default_channel.client  # type: ignore[attr-defined]
    said = info(redis)
    if said.get("run_id") and said["run_id"] == _run_id(settings.redis_url):
        yield Finding("broker", Level.OK, f"{place}, another database of the ledger's server")
        yield from _on_redis(redis, said, settings)
        return
    yield Finding("broker", Level.OK, f"{place}, a server of its own")
    yield from _on_redis(redis, said, settings)
    yield from check_keeping(redis, said, BROKER)


def _on_redis(redis: Redis, said: Mapping[str, Any], settings: Settings) -> Iterator[Finding]:
    """Check what Redis needs only as a broker."""
    version = str(said.get("redis_version", ""))
    if version and tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < OLDEST_REDIS:
        oldest = ".".join(map(str, OLDEST_REDIS))
        yield Finding(
            "broker", Level.ERROR, f"Redis {version} is too old for a broker", f"use {oldest} or newer"
        )
    database = redis.connection_pool.connection_kwargs["db"]
    yield account("broker account", redis, rights.of_broker(settings.queue, QUEUE.name, database))


def _same_account(settings: Settings) -> Iterator[Finding]:
    with suppress(RedisError, ConfigError), connect(settings.redis_url) as redis:
        yield from _on_redis(redis, info(redis), settings)


def _run_id(url: str) -> str | None:
    """Return the server's run id, or None if it hides it or does not answer (`check_ledger` reports that)."""
    with suppress(RedisError, ConfigError), connect(url) as redis:
        run_id: str | None = info(redis).get("run_id")
        return run_id
    return None


def _by_name(kind: str) -> Finding:
    return Finding("enqueue by name", Level.OK, _BY_NAME.get(kind, f"as safe as messages in {kind} are"))
