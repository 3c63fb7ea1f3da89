"""Whether the ledger's Redis has room: how much of its memory is in use, and whether it takes a write.

One that is full answers as ever, and refuses to write. Its figures alone do not say so: it leaves buffers out of what
it holds against `maxmemory`, and a replica, or one whose disk is full, refuses with memory to spare. So it is asked to.

Key (no region's):

    ekyc:room   string: the write that is tried; goes by itself after `PROBE_MS`
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
    """Of a Redis; None: it does not say."""

    used_bytes: int | None
    #: `maxmemory`; without it, what its machine has.
    limit_bytes: int | None


#: How far the promises hold with a setting, by its value. What is not listed is 0.
DURABLE: Final[Mapping[str, Mapping[str, float]]] = {
    "appendonly": {"yes": 1.0},
    # Synced every second, a power cut takes the last second or two.
    "appendfsync": {"always": 1.0, "everysec": 0.5},
    "maxmemory-policy": {"noeviction": 1.0},
}


class RedisHealth:
    """Asks Redis. Every method raises ``LedgerUnavailable`` for one that does not answer."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def refusal(self) -> str | None:
        """What Redis calls it (OOM, MISCONF, READONLY, …) that it refuses a write; "": it takes one.

        None: nobody knows, for the account of this process may not write.
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
        """How much is in use. A managed Redis may hide it."""
        with translated():
            try:
                said: Mapping[str, Any] = self._redis.info("memory")
            except ResponseError:
                said = {}
        limit_bytes = said.get("maxmemory") or said.get("total_system_memory") or None
        return Memory(said.get("used_memory"), limit_bytes)

    def durability(self) -> Mapping[str, float]:
        """Of each setting that keeps what Redis is given, how far the promises hold with it: 1, 0.5 or 0.

        A setting that a managed Redis, or the account of this process, hides is left out.
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
