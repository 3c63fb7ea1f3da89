"""Dividing a number of places between regions."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class Shares:
    """Divides a number of places between regions, so that a slow region leaves places for the others.

    Each region has a reserved part of the same size; the other places go to the regions that ask first. Not
    thread-safe: the owner has to lock it.

    Parameters:
        total: the number of places. Half of them are reserved for the regions.
        names: the regions. A region that is not named has no reserved part.
    """

    def __init__(self, total: int, names: Sequence[str]) -> None:
        self._names = frozenset(names)
        self._used = dict.fromkeys(self._names, 0)
        self.kept = 0
        self.total = 0
        self.resize(total)

    @classmethod
    def beside(cls, most: int, names: Sequence[str]) -> Shares:
        """Let one region alone take `most`, and add the reserved parts of all other regions."""
        shares = cls(most, names)
        shares.total += shares.kept * max(len(names) - 1, 0)
        return shares

    def resize(self, total: int) -> None:
        self.total = total
        self.kept = total // (2 * len(self._names)) if len(self._names) > 1 else 0

    @property
    def used(self) -> int:
        """How many places are taken, by all regions."""
        return sum(self._used.values())

    def free(self, name: str) -> int:
        """Return how many places a region may take now; never less than the rest of its reserved part."""
        used = self._used.get(name, 0)
        others = sum(max(taken, self._own(other)) for other, taken in self._used.items() if other != name)
        own = self._own(name)
        return max(own - used, self.total - used - others, 0)

    def _own(self, name: str) -> int:
        """Return the places that are reserved for a name."""
        return self.kept if name in self._names else 0

    def take(self, name: str, count: int = 1) -> None:
        self._used[name] = self._used.get(name, 0) + count

    def give(self, name: str, count: int = 1) -> None:
        self._used[name] = self._used.get(name, 0) - count
        # A message may name any region: do not keep unknown names.
        if not self._used[name] and name not in self._names:
            del self._used[name]
