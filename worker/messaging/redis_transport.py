"""Kombu's Redis transport, so that a Redis at its memory limit loses no message and ends no worker.

At `maxmemory` with `noeviction` Redis refuses each command that may need room. Kombu takes a message off its list,
which is allowed, and then notes that it is unacknowledged, which is not: the message is gone, and the worker ends. But
Redis lets a script finish that has begun to write, and so the scripts here begin with a command that is allowed. What
they write was in another key until then, or is a name that a worker has once.

Redis, unlike Valkey, then also refuses every command inside MULTI, a read and a delete included. So the clients here
send their pipelines without MULTI, and what has to happen as a whole is a script.
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

#: What is known of its types is less than there is.
_kombus: Any = redis

#: The most characters of a body in its envelope: what is larger is not noted as taken, and not decoded.
MAX_ENVELOPE_CHARACTERS: Final = 8 * 1024 * 1024

#: What kombu raises over a message that is not in its envelope: no JSON, no body in base64, a name that is missing.
_NO_ENVELOPE: Final = (ValueError, LookupError, TypeError, AttributeError, RecursionError)

#: Notes a message that has been taken. KEYS: the tags by time, the messages. ARGV: tag, time, message.
TAKE: Final = """
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
"""

#: Forgets a message that has been taken. KEYS: the tags by time, the messages. ARGV: tag.
FORGET: Final = """
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
"""

#: Puts a message that has been taken, and not acknowledged, on its queues again. KEYS: the tags by time, the messages,
#: the queues. ARGV: tag, LPUSH or RPUSH, message.
GIVE_BACK: Final = """
redis.call('ZREM', KEYS[1], ARGV[1])
if redis.call('HDEL', KEYS[2], ARGV[1]) == 1 then
    for number = 3, #KEYS do
        redis.call(ARGV[2], KEYS[number], ARGV[3])
    end
end
"""

#: Notes a queue in the tables of an exchange. KEYS: the tables. ARGV: the queue's entry.
BIND: Final = """
for _, key in ipairs(KEYS) do
    redis.call('SREM', key, ARGV[1])
    redis.call('SADD', key, ARGV[1])
end
"""

#: Kombu's own, for the queue on which a worker is asked how it is. Refused, it is tried and complained of each second.
REFRESH: Final = f"redis.call('SREM', KEYS[1], ARGV[1])\n{_kombus.REFRESH_BINDING}"


class QoS(_kombus.QoS):  # type: ignore[misc]
    """What is taken and not acknowledged."""

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
        """Put back what others took and did not acknowledge; they lock it first, which waits until there is room."""
        with suppress(OutOfMemoryError):
            super().restore_visible(*args, **options)


class Client(_kombus.redis.Redis):  # type: ignore[misc]
    """A client whose pipelines are sent without MULTI, unless it is asked for."""

    def pipeline(self, transaction: bool = False, shard_hint: Any = None) -> Any:  # noqa: FBT001, FBT002 - redis-py's
        return super().pipeline(transaction, shard_hint)


class PrefixedClient(_kombus.PrefixedStrictRedis):  # type: ignore[misc]
    """The same for the option `global_keyprefix`."""

    def pipeline(self, transaction: bool = False, shard_hint: Any = None) -> Any:  # noqa: FBT001, FBT002 - redis-py's
        return super().pipeline(transaction, shard_hint)


class Message(virtual.Message):
    """A message in kombu's envelope."""

    def __init__(self, payload: Any, channel: Any = None, **options: Any) -> None:
        if len(payload.get("body") or "") > MAX_ENVELOPE_CHARACTERS:
            raise ValueError("a message is too large")
        super().__init__(payload, channel=channel, **options)


class Channel(_kombus.Channel):  # type: ignore[misc]
    """A channel of kombu's, with our scripts."""

    QoS = QoS
    Message = Message

    _kept_client: Any = None

    def _create_client(self, asynchronous: bool = False) -> Any:  # noqa: FBT001, FBT002 - kombu's
        """A client of the pool, kept: kombu makes one for each command, and to make one takes longer than a command."""
        if asynchronous:
            return super()._create_client(asynchronous)
        if self._kept_client is None or self._kept_client.connection_pool is not self.pool:
            self._kept_client = super()._create_client()
        return self._kept_client

    def _brpop_read(self, **options: Any) -> Any:
        """Read one message. One without kombu's envelope has been taken off its list: it ends here, not the worker."""
        try:
            return super()._brpop_read(**options)
        except _NO_ENVELOPE as error:
            _log.error("message_refused", why="it has no envelope of Celery's", error=type(error).__name__)
            return True

    def run(self, script: str, keys: list[str], args: list[Any], client: Any = None) -> None:
        """Run one of our scripts. Every key is prefixed, as the keys of kombu's own commands are."""
        with self.conn_or_acquire(client) as redis_:
            # Kombu's client prefixes the first key of a script and no other.
            first, *others = keys
            self._scripts[script](
                keys=[first, *(self.global_keyprefix + key for key in others)], args=args, client=redis_
            )

    def destinations(self, message: Any, exchange: str, routing_key: str) -> tuple[list[str], str]:
        """The lists on which a message that was taken belongs, and the message, marked as redelivered."""
        with suppress(KeyError, TypeError):
            message["headers"]["redelivered"] = True
            message["properties"]["delivery_info"]["redelivered"] = True
        priority = self._get_message_priority(message, reverse=False)
        # Kombu's own method drops a message for which this fails, and logs all of it.
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
            # A worker that connects again would not get its queues, and end.
            keys = [self.keyprefix_queue % (exchange,), self.keyprefix_binding_permanent % (exchange,)]
            self.run(BIND, keys, [self.sep.join([routing_key or "", pattern or "", queue or ""])])

    @cached_property
    def _refresh_binding(self) -> Script:
        script: Script = self._create_client().register_script(REFRESH)
        return script


class Transport(_kombus.Transport):  # type: ignore[misc]
    """What `install` has kombu use."""

    Channel = Channel


def install() -> None:
    """From now on a URL of `redis:` or `rediss:` means this transport, also where it is one of several."""
    TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), f"{__name__}:Transport"))


def tls(urls: str) -> dict[str, Any] | None:
    """How a broker at `rediss:` proves who it is: by a certificate, unless its URL says otherwise. None for others.

    Kombu by itself asks for no proof, and Flower's page of the broker reads none of the URL. Raises ``ConfigError``.
    """
    url = urls.partition(";")[0].strip()
    if not url.lower().startswith("rediss:"):
        return None
    try:
        said = parse_url(url).get("ssl", {})
    except (ValueError, KeyError):
        raise ConfigError(
            "CELERY_BROKER_URL, or REDIS_URL where that is not set, cannot be used: "
            "of ssl_cert_reqs it takes required, optional or none"
        ) from None
    return {"ssl_cert_reqs": ssl.CERT_REQUIRED, **said}
