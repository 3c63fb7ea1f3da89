"""What this process has in flight for each region."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from worker.concurrency.shares import Shares

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class InFlight:
    """Counts the verifications and batches that this process has in flight. Thread-safe.

    Parameters:
        verifications: how many of one region are enough to claim no more.
        batches: how many may be in flight in all.
        regions: the regions that share both limits.
    """

    def __init__(self, verifications: int, batches: int, regions: Sequence[str]) -> None:
        self._lock = threading.Lock()
        self._verifications = Shares.beside(verifications, regions)
        self._batches = Shares(batches, regions)

    def limit_batches(self, batches: int) -> None:
        with self._lock:
            self._batches.resize(batches)

    def has_capacity(self, region: str) -> bool:
        """Whether this process has free capacity for a region."""
        with self._lock:
            return self._verifications.free(region) > 0 and self._batches.free(region) > 0

    @property
    def verifications(self) -> int:
        """How many verifications are in flight, of all regions."""
        with self._lock:
            return self._verifications.used

    @contextmanager
    def batch(self, region: str) -> Iterator[bool]:
        """Count a batch while the block runs. Yields False, and counts nothing, if the region has no free place."""
        with self._lock:
            taken = self._batches.free(region) > 0
            self._batches.take(region, int(taken))
        try:
            yield taken
        finally:
            with self._lock:
                self._batches.give(region, int(taken))

    @contextmanager
    def of(self, region: str, count: int) -> Iterator[None]:
        """Count `count` more verifications while the block runs."""
        with self._lock:
            self._verifications.take(region, count)
        try:
            yield
        finally:
            with self._lock:
                self._verifications.give(region, count)
