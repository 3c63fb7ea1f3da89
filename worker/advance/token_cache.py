"""The token of the fleet: one process requests it, all use it, and it is renewed before it ends."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Final

import structlog

from schemas.token import Token
from worker.advance.answers import TokenFault, TransientFault, Unauthorised
from worker.advance.token_request import PERIOD_S
from worker.advance.token_store import Stored, TokenStore
from worker.concurrency.blocking import BlockingPool, Lock
from worker.enqueue_request import REGIONS
from worker.errors import VendorUnavailable
from worker.http_client import time_left_s
from worker.ledger.connection import translated
from worker.time_budget import TOKEN_LOCK_S

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis as redis_py

    from worker.advance.token_box import TokenBox

log = structlog.get_logger(__name__)

#: A token is renewed when less than this of its life remains: seconds or a share, whichever is more.
MARGIN_S: Final = 60.0
MARGIN: Final = 0.1

#: The shortest life that can be requested from the vendor. If a token is to end sooner by its `expiredTime`, a clock
#: is wrong, the vendor's or ours.
SHORTEST_LIFE_S: Final = 60.0

#: How often a process checks whether another process has renewed the token, while the old one still works.
LOOK_AGAIN_S: Final = 1.0

#: The same while no token works.
WAIT_S: Final = 0.05


#: One thread for each region, which waits for Redis, the vendor, or another process.
_pool: Final = BlockingPool(len(REGIONS))


class TokenRefused(VendorUnavailable):
    """No token can be obtained; `answer` is why."""

    def __init__(self, answer: TokenFault) -> None:
        super().__init__(f"no token: {answer.kind} {answer.detail}")
        self.answer = answer


@dataclass(frozen=True, slots=True)
class _Held:
    """A token in the memory of this process. Moments are of `time.monotonic()`."""

    token: str = field(default="", repr=False)
    look_again_at: float = 0.0
    ends_at: float = 0.0

    @classmethod
    def of(cls, stored: Stored) -> _Held:
        # At most half of its life, or a short-lived token would be renewed at every call.
        margin_s = min(max(MARGIN_S, MARGIN * stored.life_s), stored.life_s / 2)
        ends_at = monotonic() + stored.left_s
        return cls(stored.token, ends_at - margin_s, ends_at)

    def fresh(self, stale: str | None) -> bool:
        return self.token != stale and monotonic() < self.look_again_at

    def usable(self, stale: str | None) -> bool:
        return self.token != stale and monotonic() < self.ends_at


class TokenCache:
    """Hands out the fleet's token, within the caller's `deadline`. Safe to use from many threads.

    Both methods raise ``TokenRefused`` if no token can be obtained, and ``LedgerUnavailable`` if Redis does not
    answer.

    Parameters:
        redis: the ledger's; see ``worker.advance.token_store`` for the keys.
        request_token: requests a token of a region from the vendor.
        box: encrypts the token in Redis; None: it is stored as it is.
    """

    def __init__(
        self,
        redis: redis_py.Redis,
        request_token: Callable[[str], Token | TokenFault],
        box: TokenBox | None = None,
    ) -> None:
        self._store = TokenStore(redis, box)
        self._request_token = request_token
        self._held = dict.fromkeys(REGIONS, _Held())
        self._looking = {region: Lock() for region in REGIONS}

    def get(self, region: str) -> str:
        """Return a token of `region` that should work, usually from memory."""
        held = self._held[region]
        return held.token if held.fresh(None) else self._look(region, None)

    def renew(self, region: str, stale: str) -> str:
        """Return another token than `stale`, which the vendor refused. It may be requested by another caller."""
        return self._look(region, stale)

    def _look(self, region: str, stale: str | None) -> str:
        """Return the token. One call of a process renews it; the others use the old one or wait."""
        held, looking = self._held[region], self._looking[region]
        usable = held.usable(stale)
        if not looking.acquire(0 if usable else time_left_s()):
            if usable:
                return held.token
            raise TokenRefused(TransientFault("TOKEN_TIMEOUT"))
        try:
            if not self._held[region].fresh(stale):
                with translated("the token"):
                    self._held[region] = _pool(self._shared, region, stale)
            return self._held[region].token
        finally:
            looking.release()

    def _shared(self, region: str, stale: str | None) -> _Held:
        """Return the fleet's token. If it is missing or about to end, request it or wait for another process to."""
        while True:
            stored = self._store.read(region)
            held = _Held.of(stored)
            if held.fresh(stale):
                return held
            outcome = stored.refusal or self._request_alone(region, stale)
            if isinstance(outcome, _Held):
                return outcome
            if held.usable(stale):
                return _Held(held.token, monotonic() + LOOK_AGAIN_S, held.ends_at)
            if outcome is not None:
                raise TokenRefused(outcome)
            if not time_left_s():
                raise TokenRefused(TransientFault("TOKEN_TIMEOUT"))
            time.sleep(min(WAIT_S, time_left_s()))

    def _request_alone(self, region: str, stale: str | None) -> _Held | TokenFault | None:
        """Return a new token, or why there is none. None while another process requests it."""
        with self._store.turn(region, TOKEN_LOCK_S) as ours:
            if not ours:
                return None
            stored = self._store.read(region)  # another process may just have stored one
            held = _Held.of(stored)
            if held.fresh(stale) or stored.refusal:
                return stored.refusal or held
            outcome = self._request_token(region)
            if isinstance(outcome, Token) and outcome.value != stale:
                log.info("token_issued", region=region)
                return _Held.of(self._store.store(region, outcome.value, _life_s(outcome)))
            refusal = Unauthorised("TOKEN_UNCHANGED") if isinstance(outcome, Token) else outcome
            log.warning("token_refused", region=region, kind=refusal.kind, detail=refusal.detail)
            self._store.refuse(region, refusal)
            return refusal


def _life_s(token: Token) -> float:
    """Return the life that we requested, or the one in the answer if that is shorter and plausible."""
    life_s = token.expires_at_ms / 1000 - time.time()
    return min(life_s, PERIOD_S) if life_s >= SHORTEST_LIFE_S else PERIOD_S
