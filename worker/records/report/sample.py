"""A random sample of approvals, for a person who checks them without knowing more than their ids."""

from __future__ import annotations

import hashlib
import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Drawn(NamedTuple):
    """A verification of the sample."""

    region: str
    signature_id: str


@dataclass(slots=True)
class Sample:
    """Draws `size` of the verifications that it is offered, each with the same probability. Not thread-safe.

    Each verification has a place, the hash of the seed and of its id, and the lowest places are drawn: the same seed
    draws the same ones in the same order, in whatever order they are offered. It holds only what is drawn so far.
    """

    size: int
    seed: int
    #: Keeps the samples of two months apart: with one seed for both they would not be independent.
    month: str
    offered: int = 0
    #: A heap with the highest place first, as negative numbers.
    _lowest: list[tuple[int, Drawn]] = field(default_factory=list)

    def offer(self, region: str, signature_id: str) -> None:
        """Consider one verification."""
        self.offered += 1
        text = f"{self.seed} {self.month} {region}/{signature_id}"
        place = int.from_bytes(hashlib.sha256(text.encode()).digest())
        entry = (-place, Drawn(region, signature_id))
        if len(self._lowest) < self.size:
            heapq.heappush(self._lowest, entry)
        elif entry > self._lowest[0]:
            heapq.heapreplace(self._lowest, entry)

    def drawn(self) -> Sequence[Drawn]:
        """Return the sample in random order; fewer than `size` if fewer were offered."""
        return [drawn for _, drawn in sorted(self._lowest, reverse=True)]
