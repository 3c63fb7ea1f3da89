"""The cost of polling and its delays."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.policy.simulation.polling import Played


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of many verifications. A delay is from the vendor's answer to the poll that finds it.

    Without any delay they are infinite.
    """

    #: For each verification, on average.
    polls: float
    median_s: float
    p95_s: float
    #: From the enqueue to the last poll, on average.
    waits_s: float

    @classmethod
    def of(cls, played: Sequence[Played]) -> Self:
        """Return the figures of `played`. Verifications that ended at the deadline count for polls, not for delays."""
        delays_s = sorted(each.delay_s for each in played if each.delay_s is not None) or [math.inf]
        return cls(
            polls=fmean(len(each.polls_s) for each in played),
            median_s=delays_s[len(delays_s) // 2],
            p95_s=delays_s[int(len(delays_s) * 0.95)],
            waits_s=fmean(each.polls_s[-1] for each in played),
        )
