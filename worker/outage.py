"""Whether this process rests because what it stands on cannot be used: a line when that begins, one when it ends."""

from __future__ import annotations

import time
from threading import Lock
from typing import TYPE_CHECKING

import structlog

from worker.errors import EkycError

if TYPE_CHECKING:
    from collections.abc import Callable

_log = structlog.get_logger(__name__)


class Outage:
    """Told of every try by the threads of a process that do not give up; between the two lines there are thousands."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._since: float | None = None

    def goes_on(self, error: Exception) -> None:
        """A try has failed, and another will follow."""
        with self._lock:
            if self._since is not None:
                return
            self._since = self._clock()
        # What others raise may quote an address, or worse.
        why = str(error) if isinstance(error, EkycError) else type(error).__name__
        _log.warning("worker_rests", why=why)

    def is_over(self) -> None:
        """A try has succeeded."""
        with self._lock:
            since, self._since = self._since, None
        if since is not None:
            _log.info("worker_goes_on", rested_s=round(self._clock() - since, 1))
