"""The queues on which decisions arrive, looked at from outside: nobody consumes them."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    import redis as redis_py

_SIGNATURE_ID: Final = re.compile(rb"signature_id\W+([\w-]+)")

_NEWEST: Final = """
local added = redis.call('XLEN', KEYS[1]) - ARGV[1]
return added > 0 and redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', added) or {}
"""


class Queue(Protocol):
    """A queue in Redis."""

    def length(self, redis: redis_py.Redis) -> int:
        """How many messages there are."""

    def since(self, redis: redis_py.Redis, seen: int) -> list[str]:
        """The signatureIds of the messages behind the first `seen`, in their order."""


@dataclass(frozen=True, slots=True)
class PushedList:
    """A list whose newest message stands first, as `LPUSH` leaves it."""

    key: str
    #: Celery's body is base64 within JSON.
    celery: bool = False

    def length(self, redis: redis_py.Redis) -> int:
        return int(redis.llen(self.key))

    def since(self, redis: redis_py.Redis, seen: int) -> list[str]:
        # Counted from the end, where nothing moves while others push.
        messages: Any = redis.lrange(self.key, 0, -seen - 1)
        return [_signature_id(_body(message) if self.celery else message) for message in reversed(messages)]


@dataclass(frozen=True, slots=True)
class HashedList:
    """dramatiq's: a list of message ids, newest last, and a hash with the messages."""

    key: str

    def length(self, redis: redis_py.Redis) -> int:
        return int(redis.llen(self.key))

    def since(self, redis: redis_py.Redis, seen: int) -> list[str]:
        names: Any = redis.lrange(self.key, seen, -1)
        messages: Any = redis.hmget(f"{self.key}.msgs", names) if names else []
        return [_signature_id(message) for message in messages]


@dataclass(frozen=True, slots=True)
class Stream:
    """taskiq's: a stream, the message in the field `data`."""

    key: str

    def length(self, redis: redis_py.Redis) -> int:
        return int(redis.xlen(self.key))

    def since(self, redis: redis_py.Redis, seen: int) -> list[str]:
        # In one script, because others add meanwhile.
        rows: Any = redis.eval(_NEWEST, 1, self.key, seen)
        return [_signature_id(fields[1]) for _, fields in reversed(rows)]


def _body(message: bytes) -> bytes:
    return base64.b64decode(json.loads(message)["body"])


def _signature_id(message: bytes) -> str:
    found = _SIGNATURE_ID.search(message)
    return found[1].decode() if found else ""
