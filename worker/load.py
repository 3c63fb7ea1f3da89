"""What this process knows of itself: how much it has under way for each region, and which regions rest."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


#: For how long a rest is remembered here: what was loaded before it has come to its turn by then, or was given back.
HEARD_FOR_S: Final = 2.0


class Shares:
    """Divides a number of places between regions, so that a slow region leaves places to the others.

    Each region has the same part for itself; what is left goes to the regions that ask first. Not locked: the owner
    does that.

    Parameters:
        total: places. Half of them are kept for the regions.
        names: the regions. Another one has no part of its own.
    """

    def __init__(self, total: int, names: Sequence[str]) -> None:
        self._names = frozenset(names)
        self._used = dict.fromkeys(self._names, 0)
        self.kept = 0
        self.total = 0
        self.resize(total)

    @classmethod
    def beside(cls, most: int, names: Sequence[str]) -> Shares:
        """One region alone may take `most`; half as many again are there for the others beside it."""
        shares = cls(most, names)
        shares.total += shares.kept * max(len(names) - 1, 0)
        return shares

    def resize(self, total: int) -> None:
        self.total = total
        self.kept = total // (2 * len(self._names)) if len(self._names) > 1 else 0

    def free(self, name: str) -> int:
        """How many places a region may take now; never less than what is left of its own part."""
        used = self._used.get(name, 0)
        others = sum(max(taken, self._own(other)) for other, taken in self._used.items() if other != name)
        own = self._own(name)
        return max(own - used, self.total - used - others, 0)

    def _own(self, name: str) -> int:
        """The part that is kept for a name."""
        return self.kept if name in self._names else 0

    def take(self, name: str, count: int = 1) -> None:
        self._used[name] = self._used.get(name, 0) + count

    def give(self, name: str, count: int = 1) -> None:
        self._used[name] = self._used.get(name, 0) - count
        # A message may name any region: those that are none of ours are not remembered.
        if not self._used[name] and name not in self._names:
            del self._used[name]


class Load:
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

    def has_room(self, region: str) -> bool:
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
