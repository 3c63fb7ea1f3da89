"""What this process knows of itself: how much it has under way, and which regions rest."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator


#: For how long a rest is remembered here: what was loaded before it has come to its turn by then, or was given back.
HEARD_FOR_S: Final = 2.0


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

    The ledger is the one to say, and hands out nothing of a region that rests. This is for what was handed out before:
    it is given back at once, so a moment is enough, and a rest that a person ends is over here too.
    """

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def begin(self, region: str, for_s: float) -> None:
        self._until[region] = time.monotonic() + min(for_s, HEARD_FOR_S)

    def resting(self, region: str) -> bool:
        return time.monotonic() < self._until.get(region, 0.0)
