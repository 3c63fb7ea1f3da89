"""What this process has in flight for each region."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from worker.concurrency.shares import Shares

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class InFlight:
    """The verifications and batches that this process has under way. Shared by its threads.

    Parameters:
        verifications: how many of one region are enough to claim no more.
        batches: how many may be under way in all.
        regions: they share both.
    """

    def __init__(self, verifications: int, batches: int, regions: Sequence[str]) -> None:
        self._lock = threading.Lock()
        self._verifications = Shares.beside(verifications, regions)
        self._batches = Shares(batches, regions)

    def limit_batches(self, batches: int) -> None:
        with self._lock:
            self._batches.resize(batches)

    def has_capacity(self, region: str) -> bool:
        """Whether this process can take up more of a region."""
        with self._lock:
            return self._verifications.free(region) > 0 and self._batches.free(region) > 0

    @contextmanager
    def batch(self, region: str) -> Iterator[bool]:
        """Take up a batch for as long as the block runs. False: there is no place for one more of this region."""
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
        """While the block runs, `count` more are under way."""
        with self._lock:
            self._verifications.take(region, count)
        try:
            yield
        finally:
            with self._lock:
                self._verifications.give(region, count)
