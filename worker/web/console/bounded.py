"""Work that may block for long: a few at a time, and no request waits longer than a bound."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TYPE_CHECKING, TypeVar

from worker.errors import Unavailable
from worker.web.api.gate import Gate

if TYPE_CHECKING:
    from collections.abc import Callable

_Result = TypeVar("_Result")


class Busy(Unavailable):
    """Raised when too many of these are under way, or one takes too long."""


class Bounded:
    """Runs functions in threads of its own. Safe to share between threads.

    A function that hangs keeps its place until it ends, so that at most `at_once` threads ever hang.
    """

    def __init__(self, name: str, *, at_once: int, waiting: int, wait_s: float, limit_s: float) -> None:
        self._name = name
        self._gate = Gate(at_once, waiting, wait_s)
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix=name)
        self._limit_s = limit_s

    def run(self, work: Callable[[], _Result]) -> _Result:
        """Return what `work` returns, or raise what it raises. Raises ``Busy``."""
        if not self._gate.enter():
            raise Busy(f"too many people use the {self._name} at this moment: try again in a few seconds")
        try:
            running = self._threads.submit(work)
        except BaseException:
            self._gate.leave()
            raise
        running.add_done_callback(self._leave)
        try:
            return running.result(self._limit_s)
        except FutureTimeout:
            if running.done():
                raise
            running.cancel()
            raise Busy(
                f"the {self._name} did not answer within {self._limit_s:.0f} s: try again in a minute"
            ) from None

    def _leave(self, ended: Future[_Result]) -> None:
        del ended
        self._gate.leave()
