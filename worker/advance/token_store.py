"""The fleet's token in Redis, with the lock of the process that requests the next one, and the last refusal.

Keys, per region (the braces keep them on one node of a Redis cluster, with the other keys of the region):

    ekyc:{<region>}:token           string `<its whole life in ms>:<the token, encrypted>`; expires with the token
    ekyc:{<region>}:token:lock      the process that requests a token now; expires in case that process dies
    ekyc:{<region>}:token:refused   string `<kind>:<detail>` of the vendor's last refusal; expires in seconds
    ekyc:{<region>}:counts          hash of the ledger's counters: token_minted, token_refused:<kind>

Only Redis's clock counts for the life of a token, so the clocks of workers and of the vendor need not agree.
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

    from worker.advance.token_box import TokenBox

#: How long the fleet requests no token after a refusal, so that it does not flood the vendor.
REFUSED_FOR_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Stored:
    """The stored state of a region's token. Without a token both lives are 0."""

    token: str = field(default="", repr=False)
    life_s: float = 0.0
    left_s: float = 0.0
    refusal: TokenFault | None = None


class TokenStore:
    """Reads and writes the state that the fleet shares. Raises exceptions of redis-py.

    `box`: encrypts tokens, and opens no others. Without one they are read as they are stored.
    """

    def __init__(self, redis: redis_py.Redis, box: TokenBox | None = None) -> None:
        self._redis = redis
        self._box = box

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
        # A refusal with a longer life than any is given is old: Redis's clock has gone back.
        is_new = refused_ms <= REFUSED_FOR_S * 1000
        refusal = _refusal(refused.decode()) if refused and is_new else None
        if stored is None or left_ms <= 0:
            return Stored(refusal=refusal)
        life_ms, _, text = stored.decode().partition(":")
        token = self._box.open(region, text) if self._box else text
        if token is None:
            # Of an older release, of a fleet with another secret key, or written by someone else.
            return Stored(refusal=refusal)
        return Stored(token, int(life_ms) / 1000, min(left_ms, int(life_ms)) / 1000, refusal)

    def store(self, region: str, token: str, life_s: float) -> Stored:
        life_ms = int(life_s * 1000)
        text = self._box.seal(region, token) if self._box else token
        self._set(region, "", f"{life_ms}:{text}", life_ms, counted="token_minted")
        return Stored(token, life_s, life_s)

    def refuse(self, region: str, refusal: TokenFault) -> None:
        text, life_ms = f"{refusal.kind}:{refusal.detail}", int(REFUSED_FOR_S * 1000)
        self._set(region, ":refused", text, life_ms, counted=f"token_refused:{refusal.kind}")

    @contextmanager
    def turn(self, region: str, lock_s: float) -> Iterator[bool]:
        """Take the lock. Yields True if this process got it; no other process gets it for at most `lock_s`."""
        if self._redis.pttl(_key(region, ":lock")) > lock_s * 1000:
            self._redis.delete(_key(region, ":lock"))
        lock = self._redis.lock(_key(region, ":lock"), timeout=lock_s)
        if not lock.acquire(blocking=False):
            yield False
            return
        try:
            yield True
        finally:
            with suppress(LockError):  # it expired, and another process may hold it by now
                lock.release()

    def _set(self, region: str, suffix: str, text: str, life_ms: int, *, counted: str) -> None:
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.set(_key(region, suffix), text, px=life_ms)
            pipe.hincrby(f"{prefix(region)}counts", counted)
            stored, _ = pipe.execute(raise_on_error=False)
        # A counter that somebody else has written must not cost the fleet its token.
        if isinstance(stored, Exception):
            raise stored


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
