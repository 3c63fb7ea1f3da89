"""The health of the ledger's Redis: its memory in use, whether it takes a write, and its durability settings.

A Redis that is out of memory answers reads and refuses writes. Its memory figures alone do not show this: it does not
count buffers against `maxmemory`, and a replica, or a Redis with a full disk, refuses writes with memory to spare. So
a write is tried.

Key (of no region):

    ekyc:room   string: the write that is tried; expires after `PROBE_MS`
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import NoPermissionError, ResponseError

from worker.ledger.connection import translated
from worker.server_faults import word

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis import Redis

KEY: Final = "ekyc:room"

PROBE_MS: Final = 1000


@dataclass(frozen=True, slots=True)
class Memory:
    """The memory of a Redis. None: it does not report it."""

    used_bytes: int | None
    #: `maxmemory`; without it, the memory of its machine.
    limit_bytes: int | None


#: How far the guarantees hold with a setting, by its value. A value that is not listed is 0.
DURABLE: Final[Mapping[str, Mapping[str, float]]] = {
    "appendonly": {"yes": 1.0},
    # With a sync every second, a power cut loses the last second or two.
    "appendfsync": {"always": 1.0, "everysec": 0.5},
    "maxmemory-policy": {"noeviction": 1.0},
}


class RedisHealth:
    """Queries a Redis. Every method raises ``LedgerUnavailable`` if it does not answer."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def refusal(self) -> str | None:
        """Return the word with which Redis refuses a write (OOM, MISCONF, READONLY, …), or "" if it takes one.

        None if that is unknown, because the account of this process may not write.
        """
        with translated():
            try:
                self._redis.set(KEY, b"", px=PROBE_MS)
            except NoPermissionError:
                return None
            except ResponseError as error:
                return word(error)
        return ""

    def memory(self) -> Memory:
        """Return how much memory is in use. A managed Redis may hide it."""
        with translated():
            try:
                info: Mapping[str, Any] = self._redis.info("memory")
            except ResponseError:
                info = {}
        limit_bytes = info.get("maxmemory") or info.get("total_system_memory") or None
        return Memory(info.get("used_memory"), limit_bytes)

    def durability(self) -> Mapping[str, float]:
        """Return for each durability setting how far the guarantees hold with it: 1, 0.5 or 0.

        A setting is left out if a managed Redis hides it, or if the account of this process may not read it.
        """
        with translated():
            try:
                persistence: Mapping[str, Any] = self._redis.info("persistence")
                memory: Mapping[str, Any] = self._redis.info("memory")
            except ResponseError:
                return {}
            try:
                fsync: str | None = self._redis.config_get("appendfsync").get("appendfsync")
            except ResponseError:
                fsync = None
        enabled = persistence.get("aof_enabled")
        found = {
            "appendonly": None if enabled is None else "yes" if enabled else "no",
            "appendfsync": fsync,
            "maxmemory-policy": memory.get("maxmemory_policy"),
        }
        return {name: DURABLE[name].get(value, 0.0) for name, value in found.items() if value is not None}
