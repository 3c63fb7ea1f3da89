"""The broker: whether messages can be put there, and what becomes of them."""

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

#: The first that knows ZRANGE BYSCORE and ZADD GT, which kombu's transport needs.
OLDEST_REDIS: Final = (6, 2)

#: What the enqueue as a Celery task is worth, by the broker's type: until a worker has run it, its message is all
#: there is.
_BY_NAME: Final = {
    "redis": (
        "a killed worker may take a message with it, others come back within "
        f"{BROKER_VISIBILITY_S + BROKER_RESTORE_S} s, or once a full Redis has room; "
        "`ekyc enqueue` and worker.client do without a message (docs/redis.md)"
    ),
    "amqp": "a message stays until a worker has run it",
}


def check_broker(settings: Settings) -> Iterator[Finding]:
    """Connects, unless it is the Redis of the ledger; another Redis is asked the same as that one."""
    if settings.broker_url == settings.redis_url:
        # Whether that answers is another check's to tell.
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
        yield Finding("broker", Level.ERROR, said, "check that it runs and CELERY_BROKER_URL")
    else:
        yield from looked
        yield _by_name(kind)


def _looked_at(connection: Connection, kind: str, settings: Settings) -> Iterator[Finding]:
    place = f"{kind} at {connection.hostname}"
    if kind != "redis":
        yield Finding("broker", Level.OK, place)
        return
    # Kombu's own client, because its URLs may say more than those of redis-py.
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
    """What only a broker needs of a Redis."""
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
    """Which server that is; None where it does not say, or does not answer, which is another check's to tell."""
    with suppress(RedisError, ConfigError), connect(url) as redis:
        run_id: str | None = info(redis).get("run_id")
        return run_id
    return None


def _by_name(kind: str) -> Finding:
    return Finding("enqueue by name", Level.OK, _BY_NAME.get(kind, f"as safe as {kind} keeps its messages"))
