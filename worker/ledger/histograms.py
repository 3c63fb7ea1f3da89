"""How long things take, counted in the ledger: any process of the fleet may add to it, and any may be asked."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What its counters begin with in a region's `counts`.
PREFIX: Final = "took:"


@dataclass(frozen=True, slots=True)
class Distribution:
    """What a timing has counted."""

    #: How many took at most so many seconds, for each bound in ascending order; the last one is infinite.
    buckets: tuple[tuple[float, int], ...]
    sum_s: float


@dataclass(frozen=True, slots=True)
class Timing:
    """A histogram of seconds: a counter for each bucket, and one for the sum, however much is counted.

    `took:<name>:<bound>` counts what took longer than the bound before and at most this one, `took:<name>:inf` what
    took longer than all, `took:<name>:ms` is the sum in ms.
    """

    name: str
    bounds_s: tuple[float, ...]

    def counters(self, took_s: float) -> dict[str, int]:
        """The counters that one more changes, and by how much. A clock that was set back makes it 0."""
        took_ms = max(round(took_s * 1000), 0)
        bucket = self._bucket(bisect_left(self.bounds_s, took_ms / 1000))
        return {f"{PREFIX}{self.name}:{bucket}": 1, f"{PREFIX}{self.name}:ms": took_ms}

    def read(self, counted: Mapping[str, int]) -> Distribution:
        """What was counted: `counted` has the counters by name, without `PREFIX`."""
        bounds = (*self.bounds_s, float("inf"))
        each = (counted.get(f"{self.name}:{self._bucket(number)}", 0) for number in range(len(bounds)))
        return Distribution(
            tuple(zip(bounds, accumulate(each), strict=True)), counted.get(f"{self.name}:ms", 0) / 1000
        )

    def _bucket(self, number: int) -> str:
        return f"{self.bounds_s[number]:g}" if number < len(self.bounds_s) else "inf"


#: One get-result call. The vendor's client gives up after 10 s.
VENDOR_CALL: Final = Timing("vendor_call", (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10))

#: From the enqueue until the pipeline has the decision. The default deadline is 7200 s.
ENQUEUED_TO_DECIDED: Final = Timing(
    "enqueued_to_decided", (1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14_400, 86_400)
)

#: From the vendor's result until the pipeline has the decision: images, a lease that ended, a queue that was away.
SETTLED_TO_DECIDED: Final = Timing("settled_to_decided", (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600))
