"""The fleet's token in Redis, with the lock of the process that requests the next one, and the last refusal.

Keys, per region (the braces keep them on one node of a Redis cluster, beside the rest of the region):

    ekyc:{<region>}:token           string `<its whole life in ms>:<the token>`; expires with the token
    ekyc:{<region>}:token:lock      the process that requests a token now; it expires in case that process dies
    ekyc:{<region>}:token:refused   string `<kind>:<detail>` of the vendor's last refusal; expires in seconds
    ekyc:{<region>}:counts          hash of the ledger's counters: token_minted, token_refused:<kind>

Redis alone counts how long a token still lives: no clock of ours or the vendor's has to agree with another.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from redis.exceptions import LockError

from worker.advance.answers import AccountFault, Busy, TokenFault, TransientFault, Unauthorised
from worker.ledger.scripts import prefix

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis as redis_py

#: How long nobody asks the vendor again after a refusal: a fleet does not hammer at a door that is shut.
REFUSED_FOR_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Stored:
    """What the fleet knows of a region's token at this moment. Without a token, all of its life is 0."""

    token: str = field(default="", repr=False)
    life_s: float = 0.0
    left_s: float = 0.0
    refusal: TokenFault | None = None


class TokenStore:
    """Reads and writes what the fleet shares. Raises what redis-py raises."""

    def __init__(self, redis: redis_py.Redis) -> None:
        self._redis = redis

    def now(self) -> float:
        """The fleet's clock, Redis's, in epoch seconds."""
        seconds, micros = self._redis.time()
        return seconds + micros / 1_000_000

    def read(self, region: str) -> Stored:
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.get(_key(region))
            pipe.pttl(_key(region))
            pipe.get(_key(region, ":refused"))
            pipe.pttl(_key(region, ":refused"))
            stored, left_ms, refused, refused_ms = pipe.execute()
        # One that has longer to live than any was given outlived a clock of Redis's that went back.
        is_new = refused_ms <= REFUSED_FOR_S * 1000
        refusal = _refusal(refused.decode()) if refused and is_new else None
        if stored is None or left_ms <= 0:
            return Stored(refusal=refusal)
        life_ms, _, token = stored.decode().partition(":")
        return Stored(token, int(life_ms) / 1000, min(left_ms, int(life_ms)) / 1000, refusal)

    def store(self, region: str, token: str, life_s: float) -> Stored:
        life_ms = int(life_s * 1000)
        self._set(region, "", f"{life_ms}:{token}", life_ms, counted="token_minted")
        return Stored(token, life_s, life_s)

    def refuse(self, region: str, refusal: TokenFault) -> None:
        text, life_ms = f"{refusal.kind}:{refusal.detail}", int(REFUSED_FOR_S * 1000)
        self._set(region, ":refused", text, life_ms, counted=f"token_refused:{refusal.kind}")

    @contextmanager
    def turn(self, region: str, lock_s: float) -> Iterator[bool]:
        """Take the lock. True if this process requests the next token: no other does so for at most `lock_s`."""
        if self._redis.pttl(_key(region, ":lock")) > lock_s * 1000:
            self._redis.delete(_key(region, ":lock"))
        lock = self._redis.lock(_key(region, ":lock"), timeout=lock_s)
        if not lock.acquire(blocking=False):
            yield False
            return
        try:
            yield True
        finally:
            with suppress(LockError):  # it expired, and may be another's by now
                lock.release()

    def _set(self, region: str, suffix: str, text: str, life_ms: int, *, counted: str) -> None:
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.set(_key(region, suffix), text, px=life_ms)
            pipe.hincrby(f"{prefix(region)}counts", counted)
            pipe.execute()


def _key(region: str, suffix: str = "") -> str:
    return f"{prefix(region)}token{suffix}"


def _refusal(text: str) -> TokenFault:
    kind, _, detail = text.partition(":")
    match kind:
        case Busy.kind:
            return Busy(float(detail.removesuffix("s")) if detail else None)
        case AccountFault.kind:
            return AccountFault(detail)
        case Unauthorised.kind:
            return Unauthorised(detail)
    return TransientFault(detail)
