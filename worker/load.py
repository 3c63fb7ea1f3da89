"""What this process knows of itself: how much it has under way, and which regions rest."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Load:
    """Counts the verifications that this process has under way. Shared by its threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.under_way = 0

    @contextmanager
    def of(self, count: int) -> Iterator[None]:
        """While the block runs, `count` more are under way."""
        self._add(count)
        try:
            yield
        finally:
            self._add(-count)

    def _add(self, count: int) -> None:
        with self._lock:
            self.under_way += count


class Rests:
    """The rests that this process has heard of: what it has loaded already must not be asked any more.

    A hint, as the ledger is the one to say: it spares the vendor the calls of batches that were under way.
    """

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def begin(self, region: str, for_s: float) -> None:
        self._until[region] = max(self._until.get(region, 0.0), time.monotonic() + for_s)

    def resting(self, region: str) -> bool:
        return time.monotonic() < self._until.get(region, 0.0)
