"""Histograms of durations, counted in the ledger. Any process of the fleet can add to them and read them."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The prefix of their counters in a region's `counts`.
PREFIX: Final = "took:"


@dataclass(frozen=True, slots=True)
class Distribution:
    """The counts of a ``Timing``."""

    #: Pairs of a bound in seconds and how many took at most that long, ascending. The last bound is infinite.
    buckets: tuple[tuple[float, int], ...]
    sum_s: float

    @property
    def count(self) -> int:
        return self.buckets[-1][1]

    def quantile(self, share: float) -> float | None:
        """Return the seconds that `share` of all took at most; None if there are none.

        It assumes that they are spread evenly within a bucket. Above the last bound it returns that bound.
        """
        rank = share * self.count
        below_s, below = 0.0, 0
        for bound_s, until in self.buckets:
            if until and until >= rank:
                if math.isinf(bound_s):
                    return below_s
                inside = (rank - below) / max(until - below, 1)
                return min(below_s + (bound_s - below_s) * inside, bound_s)
            below_s, below = bound_s, until
        return None


@dataclass(frozen=True, slots=True)
class Timing:
    """A histogram of seconds: a counter for each bucket, and one for the sum.

    `took:<name>:<bound>` counts durations above the bound before and up to this one, `took:<name>:inf` those above the
    last bound. `took:<name>:ms` is the sum in ms.
    """

    name: str
    bounds_s: tuple[float, ...]

    def counters(self, took_s: float) -> dict[str, int]:
        """Return the counters that one more duration changes, and by how much. A negative duration counts as 0."""
        took_ms = max(round(took_s * 1000), 0)
        bucket = self._bucket(bisect_left(self.bounds_s, took_ms / 1000))
        return {f"{PREFIX}{self.name}:{bucket}": 1, f"{PREFIX}{self.name}:ms": took_ms}

    def read(self, counted: Mapping[str, int]) -> Distribution:
        """Return what was counted. `counted` has the counters by name, without `PREFIX`."""
        bounds = (*self.bounds_s, float("inf"))
        each = (counted.get(f"{self.name}:{self._bucket(number)}", 0) for number in range(len(bounds)))
        return Distribution(
            tuple(zip(bounds, accumulate(each), strict=True)), counted.get(f"{self.name}:ms", 0) / 1000
        )

    def _bucket(self, number: int) -> str:
        return f"{self.bounds_s[number]:g}" if number < len(self.bounds_s) else "inf"


#: One get-result call. Our client gives up after 10 s.
VENDOR_CALL: Final = Timing("vendor_call", (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10))

#: From the enqueue until the pipeline has the decision. The default deadline is 7200 s.
ENQUEUED_TO_DECIDED: Final = Timing(
    "enqueued_to_decided", (1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14_400, 86_400)
)

#: From the vendor's result until the pipeline has the decision: images, expired leases, an unavailable queue.
SETTLED_TO_DECIDED: Final = Timing("settled_to_decided", (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600))

#: How late a claim polls: from the time at which the oldest verification that it takes was due, or from the end of the
#: region's hold. One for each claim that polls; `claim.lua` counts it and has the same bounds.
POLL_LATENESS: Final = Timing("poll_lateness", (0.05, 0.25, 1, 5, 15, 60, 300, 3600))
