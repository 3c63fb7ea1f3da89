"""What `web` says about keys of the ledger that are damaged."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

import structlog

from worker.ledger import damage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from redis import Redis

    from worker.errors import LedgerDamaged

#: Seconds between two lines of the log.
EVERY_S: Final = 60.0

_log = structlog.get_logger(__name__)


class DamageLog:
    """Finds what is damaged, and logs it once a minute. Thread-safe."""

    def __init__(
        self,
        redis: Redis,
        regions: Sequence[str],
        endpoints: Iterable[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._redis = redis
        self._regions = regions
        self._endpoints = tuple(endpoints)
        self._clock = clock
        self._lock = threading.Lock()
        self._logged_at: float | None = None

    def line(self, error: LedgerDamaged) -> str:
        """Return one line about the damage that an error shows. It names a verification only if the error does."""
        said = damage.found(self._redis, self._regions, self._endpoints) or str(error)
        with self._lock:
            now = self._clock()
            is_due = self._logged_at is None or now >= self._logged_at + EVERY_S
            self._logged_at = now if is_due else self._logged_at
        if is_due:
            _log.error("ledger_damaged", why=said)
        return said
