"""Watches the ledger during the run: the leases, and the regions on hold."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Final

import redis as redis_py

from tests.chaos.population import REGIONS
from worker.errors import LedgerUnavailable
from worker.ledger import Stats

if TYPE_CHECKING:
    from tests.chaos.valkey import Valkey

#: Seconds between two samples.
EVERY_S: Final = 0.2

#: How late a sample may be, in seconds. A later one means that the machine stalled.
STALL_S: Final = 1.0

#: (region, signatureId)
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Lease:
    """The lease of a verification. `holder` has the form of ``lua/common.lua``."""

    holder: str

    @property
    def batch(self) -> str:
        return self.holder.partition("/")[0]


@dataclass(frozen=True, slots=True)
class Span:
    """A span of time."""

    begin_ms: int
    end_ms: int

    def overlap_ms(self, other: Span) -> int:
        return max(0, min(self.end_ms, other.end_ms) - max(self.begin_ms, other.begin_ms))

    def meets(self, other: Span) -> bool:
        """Return whether the spans have a moment in common."""
        return self.begin_ms <= other.end_ms and other.begin_ms <= self.end_ms


@dataclass(slots=True)
class Sights:
    """The observations of a run."""

    #: Verifications that were seen with a lease. ``tests.chaos.leases`` has all leases.
    held: set[Key] = field(default_factory=set)
    holds: dict[str, list[Span]] = field(default_factory=dict)
    #: When the circuit breaker of a region was half-open.
    half_open: dict[str, list[Span]] = field(default_factory=dict)
    #: When the machine stalled.
    stalls: list[Span] = field(default_factory=list)

    def hold(self, region: str, now_ms: int, *, half_open: bool) -> None:
        spans = (self.half_open if half_open else self.holds).setdefault(region, [])
        if spans and now_ms - spans[-1].end_ms < 3 * EVERY_S * 1000:
            spans[-1] = Span(spans[-1].begin_ms, now_ms)
        else:
            spans.append(Span(now_ms, now_ms))


class Watch(Thread):
    """The thread that takes the samples. It has none while Valkey is unavailable."""

    def __init__(self, valkey: Valkey) -> None:
        super().__init__(name="watch", daemon=True)
        self.sights = Sights()
        self._redis = valkey.client()
        self._stats = Stats(self._redis)
        self._ended = Event()

    def run(self) -> None:
        while not self._waited():
            try:
                for region in REGIONS:
                    self._look(region)
            except (redis_py.RedisError, LedgerUnavailable):
                continue

    def end(self) -> None:
        self._ended.set()
        self.join()

    def held(self) -> dict[Key, Lease]:
        """Return all current leases. Raises ``redis.RedisError``."""
        return {key: lease for region in REGIONS for key, lease in held(self._redis, region).items()}

    def _waited(self) -> bool:
        """Wait for the next sample. Return True if the watch has ended."""
        began = time.monotonic()
        ended = self._ended.wait(EVERY_S)
        late_s = time.monotonic() - began - EVERY_S
        if late_s > STALL_S:
            now_ms = round(time.time() * 1000)
            self.sights.stalls.append(Span(now_ms - round(late_s * 1000), now_ms))
        return ended

    def _look(self, region: str) -> None:
        self.sights.held |= held(self._redis, region).keys()
        for hold in self._stats.counts(region).holds:
            self.sights.hold(region, round(time.time() * 1000), half_open=hold.half_open)


def held(redis: redis_py.Redis, region: str) -> dict[Key, Lease]:
    """Return the current leases of a region. Raises ``redis.RedisError``."""
    leased: Any = redis.zrange(f"ekyc:{{{region}}}:leased", 0, -1)
    with redis.pipeline(transaction=False) as pipe:
        for signature_id in leased:
            pipe.hget(f"ekyc:{{{region}}}:v:{signature_id.decode()}", "b")
        holders = pipe.execute()
    return {
        (region, signature_id.decode()): Lease(holder.decode())
        for signature_id, holder in zip(leased, holders, strict=True)
        if holder
    }


def batches(leases: dict[Key, Lease]) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return the ids that each batch holds, by the batch's region and id."""
    members: dict[tuple[str, str], list[str]] = {}
    for (region, signature_id), lease in leases.items():
        members.setdefault((region, lease.batch), []).append(signature_id)
    return {batch: tuple(signature_ids) for batch, signature_ids in members.items()}
