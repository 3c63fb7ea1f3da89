"""Whether a session goes on, for the scripts of open tabs: one look in Redis a second for all tabs of a session.

Only requests that a script sends by itself come here, for the parts of pages that are refreshed
(`worker.web.console.access.REFRESHED`). Every other request always asks Redis, whatever its headers say.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

from worker.errors import LedgerUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from worker.web.console.live_redis import LiveRedis

#: Seconds for which an answer of Redis counts: a session that was revoked may show figures for so long.
FRESH_S: Final = 1.0

#: Seconds for which it counts if Redis does not answer, so that open tabs can show that, beside the last figures.
AWAY_S: Final = 60.0

#: Answers that are kept at most.
MOST: Final = 10_000


class LiveSessions:
    """Safe to share between threads. A Redis that hangs takes a few threads of the process, not all.

    Parameters:
        redis: asks for all scripts.
        clock: seconds, monotonic.
    """

    def __init__(self, redis: LiveRedis, clock: Callable[[], float] = time.monotonic) -> None:
        self._redis = redis
        self._clock = clock
        self._lock = threading.Lock()
        #: By session, when Redis last said that it goes on.
        self._valid: dict[Hashable, float] = {}

    def goes_on(self, session: Hashable, ask: Callable[[], bool]) -> bool:
        """Return whether `session` goes on. `ask` asks Redis, and may raise ``LedgerUnavailable``; so does this."""
        if self._was_valid(session, within_s=FRESH_S):
            return True
        try:
            found = self._redis.ask(ask)
        except LedgerUnavailable:
            return self._without_redis(session)
        with self._lock:
            self._valid.pop(session, None)
            if found:
                self._forget_old()
                self._valid[session] = self._clock()
        return found

    def forget(self, session: Hashable) -> None:
        """Ask Redis about this session next time."""
        with self._lock:
            self._valid.pop(session, None)

    def _was_valid(self, session: Hashable, *, within_s: float) -> bool:
        with self._lock:
            at = self._valid.get(session)
        return at is not None and self._clock() < at + within_s

    def _without_redis(self, session: Hashable) -> bool:
        if self._was_valid(session, within_s=AWAY_S):
            return True
        raise LedgerUnavailable("Redis does not answer: it is not known whether the session goes on")

    def _forget_old(self) -> None:
        """The oldest answers are the first ones."""
        too_old = self._clock() - AWAY_S
        while self._valid:
            first = next(iter(self._valid))
            if self._valid[first] > too_old and len(self._valid) < MOST:
                return
            del self._valid[first]
