"""Logs outages of the dependencies of this process, Redis and the broker: a line at the start and one at the end."""

from __future__ import annotations

import time
from threading import Lock
from typing import TYPE_CHECKING

import structlog

from worker.errors import EkycError
from worker.server_faults import described

if TYPE_CHECKING:
    from collections.abc import Callable

_log = structlog.get_logger(__name__)


class DependencyLog:
    """Logs once when a dependency becomes unavailable and once when it recovers, at one level. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._since: float | None = None

    def unavailable(self, error: Exception) -> None:
        """Report a failed attempt that will be repeated."""
        with self._lock:
            if self._since is not None:
                return
            self._since = self._clock()
        # Errors of other packages may quote an address or a secret.
        why = str(error) if isinstance(error, EkycError) else described(error)
        _log.warning("dependency_unavailable", why=why)

    def recovered(self) -> None:
        """Report a successful attempt."""
        with self._lock:
            since, self._since = self._since, None
        if since is not None:
            _log.warning("dependency_recovered", after_s=round(self._clock() - since, 1))
