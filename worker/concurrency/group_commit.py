"""Group commit: one run of a slow function, such as a sync of the disk, serves all waiting callers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gevent.event import AsyncResult
from gevent.lock import BoundedSemaphore

from worker.concurrency.blocking import in_greenlet, run_blocking

if TYPE_CHECKING:
    from collections.abc import Callable


class GroupCommit:
    """Runs a function once for all greenlets of a thread that called it since its last run began.

    Parameters:
        function: may block.
    """

    def __init__(self, function: Callable[[], None]) -> None:
        self._function = function
        self._turn = BoundedSemaphore(1)
        self._next: AsyncResult | None = None

    def __call__(self) -> None:
        """Wait for a run that begins after this call. Raises what the function raises, in every waiting greenlet."""
        if not in_greenlet():
            self._function()
            return
        if self._next:
            self._next.get()
            return
        run = self._next = AsyncResult()
        try:
            with self._turn:
                self._next = None  # a later caller may have changed something since this run began
                run_blocking(self._function)
        except BaseException as error:
            if self._next is run:
                self._next = None
            run.set_exception(error)
            raise
        run.set(None)
