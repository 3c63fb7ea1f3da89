"""A value that all threads of a process share: it is read in the background, at most once in a while."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import structlog

from worker.errors import LedgerUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

_Value = TypeVar("_Value")

#: Seconds between two readings, regardless of how many ask.
EVERY_S: Final = 1.0

#: Seconds that a thread waits for a running reading, if the one before succeeded.
WAIT_S: Final = 1.0

#: Seconds after which a value counts as old. A reading takes milliseconds.
OLD_S: Final = 3.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Reading(Generic[_Value]):
    """The newest value, and its age."""

    value: _Value
    age_s: float
    #: Whether Redis does not answer, or answers late.
    is_old: bool


class SharedReading(Generic[_Value]):
    """Thread-safe. A Redis that hangs takes the thread of the reading, and a reader waits for it once.

    Parameters:
        read: returns the value. Raises ``LedgerUnavailable``.
    """

    def __init__(
        self,
        read: Callable[[], _Value],
        *,
        every_s: float = EVERY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._every_s = every_s
        self._clock = clock
        self._lock = threading.Lock()
        self._running: threading.Thread | None = None
        self._begun_at: float | None = None
        #: The newest value, and when its reading began.
        self._newest: tuple[_Value, float] | None = None
        #: Why the last reading failed; None: it succeeded, or there was none yet.
        self._error: LedgerUnavailable | None = None
        #: When the last reading ended.
        self._ended_at: float | None = None
        #: Whether readers wait for the running one.
        self._is_prompt = True

    def get(self) -> Reading[_Value]:
        """Return the newest value. Raises ``LedgerUnavailable`` if there has never been one."""
        with self._lock:
            running, is_prompt = self._running, self._is_prompt
            if running is None and (
                self._begun_at is None or self._clock() >= self._begun_at + self._every_s
            ):
                self._begun_at = self._clock()
                if self._ended_at is not None and self._begun_at > self._ended_at + OLD_S:
                    # Nobody has asked since: what failed then says nothing about now.
                    self._error, is_prompt = None, True
                    self._is_prompt = True
                running = self._running = threading.Thread(target=self._run, name="census", daemon=True)
                running.start()
        if running is not None and is_prompt:
            running.join(WAIT_S)
        with self._lock:
            if running is not None and self._running is running:
                # It hangs: the next reader does not wait for it.
                self._is_prompt = False
            if self._newest is None:
                raise self._error or LedgerUnavailable("Redis does not answer: there are no figures yet")
            value, at = self._newest
            age_s = self._clock() - at
            # Where nobody has asked for long, the value before this reading may be of any age.
            is_old = self._error is not None or (not self._is_prompt and age_s > OLD_S)
            return Reading(value, age_s, is_old)

    def _run(self) -> None:
        began_at = self._clock()
        found: tuple[_Value, float] | None = None
        error: LedgerUnavailable | None = None
        try:
            found = self._read(), began_at
        except LedgerUnavailable as refused:
            error = refused
        except Exception:  # noqa: BLE001 - a bug must not leave the readers without an answer
            _log.error("census_failed", exc_info=True)
            error = LedgerUnavailable("the figures of the ledger cannot be read: see the log of web")
        with self._lock:
            self._newest = found or self._newest
            self._error, self._is_prompt, self._running = error, error is None, None
            self._ended_at = self._clock()
