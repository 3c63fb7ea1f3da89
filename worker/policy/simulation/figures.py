"""What polling has cost, and how late it was."""

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
    """Of many verifications. A delay is from the vendor's answer to the poll that finds it; infinite: none was."""

    #: For each, on average.
    polls: float
    median_s: float
    p95_s: float
    #: From the enqueue to the last poll, on average.
    waits_s: float

    @classmethod
    def of(cls, played: Sequence[Played]) -> Self:
        """Those whose deadline came first count as polls, and have no delay."""
        delays_s = sorted(one.delay_s for one in played if one.delay_s is not None) or [math.inf]
        return cls(
            polls=fmean(len(one.polls_s) for one in played),
            median_s=delays_s[len(delays_s) // 2],
            p95_s=delays_s[int(len(delays_s) * 0.95)],
            waits_s=fmean(one.polls_s[-1] for one in played),
        )
