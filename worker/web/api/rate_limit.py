"""How many requests a token may make, counted in Redis for all processes of `web` together.

A process that serves a token often takes several places at a time from Redis, as many as it has lately used within a
second. What it does not use within a second is lost.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from worker.ledger.connection import translated

if TYPE_CHECKING:
    from redis import Redis

    from worker.policy.api_tokens import Token

#: The requests of this many seconds may come at once.
WINDOW_S: Final = 10

#: How long a process may use the places that it has taken.
TAKEN_FOR_S: Final = 1.0

#: The largest part of a quota that a process takes at a time.
LARGEST_PART: Final = 1 / 100

#: Of no region: a token is for all of them.
KEY: Final = "ekyc:api:rate:"


@dataclass(frozen=True, slots=True)
class Spent:
    """The result of one request, and what its token has left."""

    admitted: bool
    quota: int
    left: int
    #: Seconds until one more request is admitted; 0 if this one is.
    retry_after_s: int
    #: Seconds until the whole quota is available again.
    reset_s: int

    @property
    def headers(self) -> dict[str, str]:
        """As draft-ietf-httpapi-ratelimit-headers defines them, and `Retry-After` if the request is not admitted."""
        headers = {
            "RateLimit-Policy": f'"default";q={self.quota};w={WINDOW_S}',
            "RateLimit": f'"default";r={self.left};t={self.reset_s}',
        }
        return headers if self.admitted else headers | {"Retry-After": str(self.retry_after_s)}


@dataclass(slots=True)
class _Taken:
    """What a process has taken for a token, and until when it holds; a refusal holds no places."""

    size: int
    until: float
    places: int
    quota: int
    left: int
    reset_s: int


class RateLimiter:
    """Safe to share between threads. Raises ``LedgerUnavailable`` when Redis cannot be used."""

    def __init__(self, redis: Redis) -> None:
        self._script = redis.register_script((files("worker.web.api") / "rate_limit.lua").read_text())
        self._lock = threading.Lock()
        self._taken: dict[str, _Taken] = {}

    def spend(self, token: Token) -> Spent:
        """Count one request of a token."""
        quota = max(1, round(token.rate * WINDOW_S))
        now = time.monotonic()
        with self._lock:
            taken = self._taken.get(token.name)
            if taken is not None and now < taken.until and taken.quota == quota:
                if not taken.size:
                    # A flood must not reach Redis.
                    return _refused(taken, taken.until - now)
                if taken.places:
                    taken.places -= 1
                    return _admitted(taken)
            wanted = _wanted(taken, quota, now)
        return self._take(token.name, quota, wanted, now)

    def _take(self, name: str, quota: int, wanted: int, now: float) -> Spent:
        with translated("the rate limit"):
            places, left, retry_ms, reset_ms = self._script(
                keys=[KEY + name], args=[quota, WINDOW_S * 1000, wanted]
            )
        for_s = TAKEN_FOR_S if places else retry_ms / 1000
        taken = _Taken(places, now + for_s, max(places - 1, 0), quota, left, math.ceil(reset_ms / 1000))
        with self._lock:
            self._taken[name] = taken
        return _admitted(taken) if places else _refused(taken, for_s)


def _wanted(before: _Taken | None, quota: int, now: float) -> int:
    """How many places to take: twice as many as before if those were used up in time, else one."""
    if before is None or not before.size or before.places or now >= before.until:
        return 1
    return max(1, min(2 * before.size, int(quota * LARGEST_PART)))


def _admitted(taken: _Taken) -> Spent:
    return Spent(
        admitted=True,
        quota=taken.quota,
        left=taken.left + taken.places,
        retry_after_s=0,
        reset_s=taken.reset_s,
    )


def _refused(taken: _Taken, for_s: float) -> Spent:
    return Spent(
        admitted=False,
        quota=taken.quota,
        left=0,
        retry_after_s=max(1, math.ceil(for_s)),
        reset_s=taken.reset_s,
    )
