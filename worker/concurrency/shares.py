"""Dividing a number of places between regions."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


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
