"""Kombu's Redis transport, changed so that a Redis at its memory limit loses no message and stops no worker.

At `maxmemory` with `noeviction` Redis refuses each command that may need memory. Kombu takes a message off its list,
which is allowed, and then stores it as unacknowledged, which is not: the message is lost, and the worker exits. But
Redis lets a script finish once it has begun to write, so the scripts here begin with an allowed command. Their data was
in another key before, or is a name that a worker writes once.

Redis, unlike Valkey, then also refuses every command inside MULTI, even reads and deletes. So the clients here send
pipelines without MULTI, and atomic operations are scripts.
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from functools import cached_property, partial
from time import time
from typing import TYPE_CHECKING, Any, Final

import structlog
from kombu.transport import TRANSPORT_ALIASES, redis, virtual
from kombu.utils.json import dumps, loads
from kombu.utils.url import parse_url
from redis.exceptions import OutOfMemoryError

from worker.errors import ConfigError

if TYPE_CHECKING:
    from redis.commands.core import Script

_log = structlog.get_logger(__name__)

#: Its stubs are incomplete.
_kombus: Any = redis

#: The most characters of a body in its envelope: a larger message is neither stored as unacknowledged nor decoded.
MAX_ENVELOPE_CHARACTERS: Final = 8 * 1024 * 1024

#: Kombu's errors for a message without its envelope: not JSON, a body that is not base64, a missing name.
_NO_ENVELOPE: Final = (ValueError, LookupError, TypeError, AttributeError, RecursionError)

#: Stores a message as unacknowledged. KEYS: the tags by time, the messages. ARGV: tag, time, message.
TAKE: Final = """
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
"""

#: Removes an unacknowledged message. KEYS: the tags by time, the messages. ARGV: tag.
FORGET: Final = """
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
"""

#: Puts an unacknowledged message back on its queues. KEYS: the tags by time, the messages, the queues. ARGV: tag, LPUSH
#: or RPUSH, message.
GIVE_BACK: Final = """
redis.call('ZREM', KEYS[1], ARGV[1])
if redis.call('HDEL', KEYS[2], ARGV[1]) == 1 then
    for number = 3, #KEYS do
        redis.call(ARGV[2], KEYS[number], ARGV[3])
    end
end
"""

#: Adds a queue to the tables of an exchange. KEYS: the tables. ARGV: the queue's entry.
BIND: Final = """
for _, key in ipairs(KEYS) do
    redis.call('SREM', key, ARGV[1])
    redis.call('SADD', key, ARGV[1])
end
"""

#: Kombu's own script, for the queue of a worker's remote control. If Redis refused it, kombu would retry and log it
#: each second.
REFRESH: Final = f"redis.call('SREM', KEYS[1], ARGV[1])\n{_kombus.REFRESH_BINDING}"


class QoS(_kombus.QoS):  # type: ignore[misc]
    """The unacknowledged messages."""

    def append(self, message: Any, delivery_tag: str) -> None:
        route = message.delivery_info
        kept = dumps([message._raw, route["exchange"], route["routing_key"]])  # noqa: SLF001
        self.channel.run(TAKE, self._keys, [delivery_tag, time(), kept])
        virtual.QoS.append(self, message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        self.channel.run(FORGET, self._keys, [delivery_tag])
        virtual.QoS.ack(self, delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:  # noqa: FBT001, FBT002 - kombu's
        if requeue:
            self.restore_by_tag(delivery_tag, leftmost=True)
            virtual.QoS.ack(self, delivery_tag)
        else:
            self.ack(delivery_tag)

    def restore_by_tag(self, tag: str, client: Any = None, leftmost: bool = False) -> None:  # noqa: FBT001, FBT002 - kombu's
        with self.channel.conn_or_acquire(client) as redis_:
            kept = redis_.hget(self.unacked_key, tag)
            queues, message = self.channel.destinations(*loads(kept)) if kept else ([], "")
            arguments = [tag, "LPUSH" if leftmost else "RPUSH", message]
            self.channel.run(GIVE_BACK, [*self._keys, *queues], arguments, client=redis_)

    @property
    def _keys(self) -> list[str]:
        return [self.unacked_index_key, self.unacked_key]

    def restore_visible(self, *args: Any, **options: Any) -> None:
        """Redeliver unacknowledged messages of other workers. Does nothing while Redis has no memory for the lock."""
        with suppress(OutOfMemoryError):
            super().restore_visible(*args, **options)


class Client(_kombus.redis.Redis):  # type: ignore[misc]
    """A client that sends pipelines without MULTI by default."""

    def pipeline(self, transaction: bool = False, shard_hint: Any = None) -> Any:  # noqa: FBT001, FBT002 - redis-py's
        return super().pipeline(transaction, shard_hint)


class PrefixedClient(_kombus.PrefixedStrictRedis):  # type: ignore[misc]
    """``Client`` for the option `global_keyprefix`."""

    def pipeline(self, transaction: bool = False, shard_hint: Any = None) -> Any:  # noqa: FBT001, FBT002 - redis-py's
        return super().pipeline(transaction, shard_hint)


class Message(virtual.Message):
    """A message in kombu's envelope."""

    def __init__(self, payload: Any, channel: Any = None, **options: Any) -> None:
        if len(payload.get("body") or "") > MAX_ENVELOPE_CHARACTERS:
            raise ValueError("a message is too large")
        super().__init__(payload, channel=channel, **options)


class Channel(_kombus.Channel):  # type: ignore[misc]
    """Kombu's channel with our scripts."""

    QoS = QoS
    Message = Message

    _kept_client: Any = None

    def _create_client(self, asynchronous: bool = False) -> Any:  # noqa: FBT001, FBT002 - kombu's
        """Return a cached client of the pool: kombu creates one for each command, which costs more than the command."""
        if asynchronous:
            return super()._create_client(asynchronous)
        if self._kept_client is None or self._kept_client.connection_pool is not self.pool:
            self._kept_client = super()._create_client()
        return self._kept_client

    def _brpop_read(self, **options: Any) -> Any:
        """Read one message. Drops a message without kombu's envelope, which would end the worker, and logs it."""
        try:
            return super()._brpop_read(**options)
        except _NO_ENVELOPE as error:
            _log.error("message_refused", why="it has no Celery envelope", error=type(error).__name__)
            return True

    def run(self, script: str, keys: list[str], args: list[Any], client: Any = None) -> None:
        """Run one of our scripts, with a prefix on every key, as for kombu's own commands."""
        with self.conn_or_acquire(client) as redis_:
            # Kombu's client prefixes only the first key of a script.
            first, *others = keys
            self._scripts[script](
                keys=[first, *(self.global_keyprefix + key for key in others)], args=args, client=redis_
            )

    def destinations(self, message: Any, exchange: str, routing_key: str) -> tuple[list[str], str]:
        """Return the lists of an unacknowledged message, and the message, marked as redelivered."""
        with suppress(KeyError, TypeError):
            message["headers"]["redelivered"] = True
            message["properties"]["delivery_info"]["redelivered"] = True
        priority = self._get_message_priority(message, reverse=False)
        # If this fails, kombu's own method drops the message and logs all of it.
        queues = self._lookup(exchange, routing_key)
        return [self._q_for_pri(queue, priority) for queue in queues], dumps(message)

    @cached_property
    def _scripts(self) -> dict[str, Script]:
        client = self._create_client()
        return {text: client.register_script(text) for text in (TAKE, FORGET, GIVE_BACK, BIND)}

    def _get_client(self) -> Any:
        super()._get_client()  # checks the version of redis-py
        if self.global_keyprefix:
            return partial(PrefixedClient, global_keyprefix=self.global_keyprefix)
        return Client

    def _restore(self, message: Any, leftmost: bool = False) -> None:  # noqa: FBT001, FBT002 - kombu's
        if self.ack_emulation:
            self.qos.restore_by_tag(message.delivery_tag, leftmost=leftmost)
        else:
            super()._restore(message, leftmost)

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        try:
            super()._queue_bind(exchange, routing_key, pattern, queue)
        except OutOfMemoryError:
            # Otherwise a worker that reconnects would not get its queues, and would exit.
            keys = [self.keyprefix_queue % (exchange,), self.keyprefix_binding_permanent % (exchange,)]
            self.run(BIND, keys, [self.sep.join([routing_key or "", pattern or "", queue or ""])])

    @cached_property
    def _refresh_binding(self) -> Script:
        script: Script = self._create_client().register_script(REFRESH)
        return script


class Transport(_kombus.Transport):  # type: ignore[misc]
    """The transport that `install` registers."""

    Channel = Channel


def install() -> None:
    """Register this transport for URLs of `redis:` and `rediss:`, also in a list of several."""
    TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), f"{__name__}:Transport"))


def tls(urls: str) -> dict[str, Any] | None:
    """Return the TLS options of a broker at `rediss:`: its certificate is verified by default. None for others.

    Kombu alone verifies nothing, and Flower's page of the broker ignores the options in the URL. Raises
    ``ConfigError``.
    """
    url = urls.partition(";")[0].strip()
    if not url.lower().startswith("rediss:"):
        return None
    try:
        given = parse_url(url).get("ssl", {})
    except (ValueError, KeyError):
        raise ConfigError(
            "CELERY_BROKER_URL, or REDIS_URL if that is not set, cannot be used: "
            "ssl_cert_reqs must be required, optional or none"
        ) from None
    return {"ssl_cert_reqs": ssl.CERT_REQUIRED, **given}
