"""The watchdog of a worker: detects an event loop that makes no progress, and ends a process that stays stuck.

It counts checks at which the oldest unanswered request is the same as at the check before. It does not measure time: a
process that was suspended or got no CPU makes fewer checks, and so does not count as stuck.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any, Final, Protocol

import structlog

from worker.time_budget import END_CHECKS, STUCK_CHECKS, WATCHDOG_CHECK_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.concurrency.executor import EventLoop

_log = structlog.get_logger(__name__)

#: The exit code of a process that ends because it is stuck: `EX_SOFTWARE` of sysexits.h.
EXIT_STUCK: Final = os.EX_SOFTWARE


class Intake(Protocol):
    """The worker's consumer, which pauses while the event loop is stuck. Its methods may be called from any thread."""

    def pause_intake(self) -> None: ...

    def resume_intake(self) -> None: ...


class Watchdog(threading.Thread):
    """Checks the event loop at intervals.

    Parameters:
      end: ends the process with an exit code, whatever its other threads do.
    """

    def __init__(self, thread: EventLoop, intake: Intake, end: Callable[[int], Any] = os._exit) -> None:
        super().__init__(name="watchdog", daemon=True)
        self._thread = thread
        self._intake = intake
        self._end = end
        self._seen: object = None
        self._missed = 0

    def run(self) -> None:
        while True:
            time.sleep(WATCHDOG_CHECK_S)
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - a worker without a watchdog could stay stuck for ever
                _log.error("watchdog_failed", error=type(error).__name__)

    def look(self) -> None:
        """Compare the oldest unanswered request with that of the last check."""
        oldest = self._thread.oldest_request()
        self._missed = self._missed + 1 if oldest is not None and oldest is self._seen else 0
        self._seen = oldest
        if self._thread.is_stuck and not self._missed:
            self._recovered()
        elif self._missed >= END_CHECKS:
            _log.error("worker_ends", reason="its calls are still stuck", exit_code=EXIT_STUCK)
            self._end(EXIT_STUCK)
        elif self._missed >= STUCK_CHECKS and not self._thread.is_stuck:
            self._stuck()

    def _stuck(self) -> None:
        self._thread.is_stuck = True
        self._intake.pause_intake()
        at, item = self._thread.position()
        _log.error(
            "calls_stuck",
            at=at,
            region=getattr(item, "region", None),
            signature_id=getattr(item, "signature_id", None),
        )

    def _recovered(self) -> None:
        self._thread.is_stuck = False
        self._intake.resume_intake()
        _log.warning("calls_recovered")
