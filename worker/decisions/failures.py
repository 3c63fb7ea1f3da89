"""Log lines about failed deliveries: the reason at once, then at most one line a minute, and one at recovery."""

from __future__ import annotations

import time
from threading import Lock
from typing import TYPE_CHECKING, Final

import structlog

from worker.settings import DECISION_QUEUE

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.errors import BrokerUnavailable

_log = structlog.get_logger(__name__)

#: Seconds between two lines with the same reason.
REPEAT_S: Final = 60.0


class Failures:
    """Logs when deliveries begin to fail, while they fail, and when they succeed again. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._since: float | None = None
        self._logged_at = 0.0
        self._reason = ""
        #: Failed attempts that no line has counted yet.
        self._unlogged = 0

    def failed(self, error: BrokerUnavailable, number: int) -> None:
        """Record that an attempt to deliver `number` decisions failed."""
        now, reason = self._clock(), str(error)
        with self._lock:
            if self._since is None:
                self._since = now
            self._unlogged += number
            if reason == self._reason and now < self._logged_at + REPEAT_S:
                return
            self._logged_at, self._reason = now, reason
            failed, self._unlogged = self._unlogged, 0
        _log.warning("delivery_failed", queue=DECISION_QUEUE, why=reason, failed=failed)

    def succeeded(self) -> None:
        """Record that an attempt succeeded."""
        if self._since is None:
            return
        with self._lock:
            since, self._since, self._reason, self._unlogged = self._since, None, "", 0
        if since is not None:
            _log.warning(
                "delivery_recovered", queue=DECISION_QUEUE, failed_for_s=round(self._clock() - since, 1)
            )


#: The instance of this process.
deliveries: Final = Failures()
