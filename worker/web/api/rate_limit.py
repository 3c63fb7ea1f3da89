"""How many requests a token may make, counted in Redis for all processes of `web` together.

A process that serves a token often takes several places at a time from Redis, as many as it has lately used within a
second. What it does not use within a second is lost. One thread of a process takes places of a token at a time; others
wait for it.

While Redis answers and refuses writes (it is full, or a replica), each process counts by itself: reads must continue.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, field
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from redis import exceptions

from worker.errors import LedgerUnavailable
from worker.ledger.connection import translated
from worker.server_faults import refuses_writes

if TYPE_CHECKING:
    from redis import Redis

    from worker.policy.api_tokens import Token

#: The requests of this many seconds may come at once.
WINDOW_S: Final = 10

#: How long a process may use the places that it has taken.
TAKEN_FOR_S: Final = 1.0

#: The largest part of a quota that a process takes at a time.
LARGEST_PART: Final = 1 / 100

#: How long a process counts by itself before it asks Redis again.
ALONE_S: Final = 1.0

#: The longest time in which one request of a token with a very low rate is allowed: a year.
LONGEST_WINDOW_S: Final = 365 * 86_400

#: Of no region: a token is for all of them.
KEY: Final = "ekyc:api:rate:"


@dataclass(frozen=True, slots=True)
class Spent:
    """The result of one request, and what its token has left."""

    admitted: bool
    quota: int
    #: Seconds in which the quota is allowed.
    window_s: float
    left: int
    #: Seconds until one more request is admitted; 0 if this one is.
    retry_after_s: int
    #: Seconds until the whole quota is available again.
    reset_s: int

    @property
    def headers(self) -> dict[str, str]:
        """As draft-ietf-httpapi-ratelimit-headers defines them, and `Retry-After` if the request is not admitted."""
        headers = {
            "RateLimit-Policy": f'"default";q={self.quota};w={max(1, round(self.window_s))}',
            "RateLimit": f'"default";r={self.left};t={self.reset_s}',
        }
        return headers if self.admitted else headers | {"Retry-After": str(self.retry_after_s)}


def quota_of(rate: float) -> tuple[int, float]:
    """How many requests may come at once, and in how many seconds their places are free again."""
    quota = max(1, round(rate * WINDOW_S))
    return quota, min(quota / rate, LONGEST_WINDOW_S)


@dataclass(slots=True)
class _Taken:
    """What a process has taken for a token, and until when it holds; a refusal holds no places."""

    size: int
    until: float
    places: int
    quota: int
    window_s: float
    left: int
    reset_s: int


@dataclass(slots=True)
class _Taker:
    """A thread that takes places now. Others wait for it."""

    done: threading.Event = field(default_factory=threading.Event)
    error: LedgerUnavailable | None = None


class RateLimiter:
    """Safe to share between threads. Raises ``LedgerUnavailable`` when Redis cannot be used."""

    def __init__(self, redis: Redis) -> None:
        self._script = redis.register_script((files("worker.web.api") / "rate_limit.lua").read_text())
        self._lock = threading.Lock()
        self._taken: dict[str, _Taken] = {}
        self._takers: dict[str, _Taker] = {}
        #: By token, while Redis takes no writes: GCRA's theoretical arrival time, by this process's clock.
        self._alone: dict[str, float] = {}
        self._alone_until = 0.0

    def spend(self, token: Token) -> Spent:
        """Count one request of a token."""
        quota, window_s = quota_of(token.rate)
        while True:
            now = time.monotonic()
            with self._lock:
                if now < self._alone_until:
                    return self._spend_alone(token.name, quota, window_s, now)
                taken = self._taken.get(token.name)
                if taken is not None and (now >= taken.until or taken.quota != quota):
                    taken = None
                if taken is not None:
                    if not taken.size:
                        # A flood must not reach Redis.
                        return _refused(taken, taken.until - now)
                    if taken.places:
                        taken.places -= 1
                        return _admitted(taken)
                taker = self._takers.get(token.name)
                mine = self._takers[token.name] = _Taker() if taker is None else taker
            if taker is None:
                return self._take_as(mine, token.name, quota, window_s, _wanted(taken, quota))
            taker.done.wait()
            if taker.error is not None:
                # Each waiting thread would otherwise wait for Redis once more, one after the other.
                raise LedgerUnavailable(str(taker.error))

    def _take_as(self, taker: _Taker, name: str, quota: int, window_s: float, wanted: int) -> Spent:
        try:
            return self._take(name, quota, window_s, wanted)
        except LedgerUnavailable as error:
            taker.error = error
            raise
        finally:
            with self._lock:
                del self._takers[name]
            taker.done.set()

    def _take(self, name: str, quota: int, window_s: float, wanted: int) -> Spent:
        now = time.monotonic()
        with translated("the rate limit"):
            try:
                places, left, retry_ms, reset_ms = self._script(
                    keys=[KEY + name], args=[quota, window_s * 1000, wanted]
                )
            except exceptions.ResponseError as error:
                if not refuses_writes(error):
                    raise
                with self._lock:
                    self._alone_until = now + ALONE_S
                    return self._spend_alone(name, quota, window_s, now)
        for_s = TAKEN_FOR_S if places else retry_ms / 1000
        taken = _Taken(
            places, now + for_s, max(places - 1, 0), quota, window_s, left, math.ceil(reset_ms / 1000)
        )
        with self._lock:
            self._taken[name] = taken
            return _admitted(taken) if places else _refused(taken, for_s)

    def _spend_alone(self, name: str, quota: int, window_s: float, now: float) -> Spent:
        """Count by this process alone. The caller holds the lock."""
        interval = window_s / quota
        arrival = max(self._alone.get(name, 0.0), now)
        free = math.floor((now + window_s - arrival) / interval + 0.001)
        if free > 0:
            arrival += interval
            self._alone[name] = arrival
        taken = _Taken(1, now, 0, quota, window_s, max(free - 1, 0), math.ceil(arrival - now))
        return _admitted(taken) if free > 0 else _refused(taken, arrival + interval - now - window_s)


def _wanted(before: _Taken | None, quota: int) -> int:
    """How many places to take: twice as many as before if those were used up in time, else one."""
    if before is None:
        return 1
    return max(1, min(2 * before.size, int(quota * LARGEST_PART)))


def _admitted(taken: _Taken) -> Spent:
    return Spent(
        admitted=True,
        quota=taken.quota,
        window_s=taken.window_s,
        left=taken.left + taken.places,
        retry_after_s=0,
        reset_s=taken.reset_s,
    )


def _refused(taken: _Taken, for_s: float) -> Spent:
    return Spent(
        admitted=False,
        quota=taken.quota,
        window_s=taken.window_s,
        left=0,
        retry_after_s=max(1, math.ceil(for_s)),
        reset_s=taken.reset_s,
    )
