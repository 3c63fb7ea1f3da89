"""Logs outages of the dependencies of this process, Redis and the broker: a line for each cause and one at the end."""

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
    """Logs once for each cause for which a dependency is unavailable, and once when it recovers. Thread-safe.

    All lines have one level. The cause may change: a Redis that was restarted may refuse our password.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._since: float | None = None
        self._logged: set[str] = set()

    def unavailable(self, error: Exception) -> None:
        """Report a failed attempt that will be repeated."""
        # Errors of other packages may quote an address or a secret.
        why = str(error) if isinstance(error, EkycError) else described(error)
        with self._lock:
            if why in self._logged:
                return
            if self._since is None:
                self._since = self._clock()
            self._logged.add(why)
        _log.warning("dependency_unavailable", why=why)

    def recovered(self) -> None:
        """Report a successful attempt."""
        with self._lock:
            since, self._since = self._since, None
            self._logged.clear()
        if since is not None:
            _log.warning("dependency_recovered", after_s=round(self._clock() - since, 1))
