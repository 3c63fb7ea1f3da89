"""What the scripts of open tabs ask of Redis: a few questions at a time. One that hangs takes few threads."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final, TypeVar

from worker.errors import LedgerDamaged, LedgerUnavailable, RightMissing
from worker.web.api.gate import Gate

if TYPE_CHECKING:
    from collections.abc import Callable

_Answer = TypeVar("_Answer")

#: Seconds without a question after Redis has not answered one.
PAUSE_S: Final = 1.0


class LiveRedis:
    """Safe to share between threads. A script asks again in two seconds, so a refusal costs it nothing.

    Parameters:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        #: When Redis last did not answer.
        self._failed_at: float | None = None
        self._gate = Gate(at_once=3, waiting=8, wait_s=0.25)

    def ask(self, question: Callable[[], _Answer]) -> _Answer:
        """Return what `question` returns. Raises ``LedgerUnavailable`` as it does, and at once where asking is vain."""
        if self._is_away():
            raise LedgerUnavailable("Redis has not answered for a moment")
        if not self._gate.enter():
            raise LedgerUnavailable("too many open pages ask Redis at this moment")
        try:
            answer = question()
        except (RightMissing, LedgerDamaged):
            # Redis answers.
            raise
        except LedgerUnavailable:
            with self._lock:
                self._failed_at = self._clock()
            raise
        finally:
            self._gate.leave()
        with self._lock:
            self._failed_at = None
        return answer

    def _is_away(self) -> bool:
        with self._lock:
            return self._failed_at is not None and self._clock() < self._failed_at + PAUSE_S
