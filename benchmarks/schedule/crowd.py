"""How a crowd that was enqueued in the same moment comes back."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from worker.policy.backoff import USER_TIMEOUT_S, USER_TIMEOUT_SPREAD_S

if TYPE_CHECKING:
    from collections.abc import Iterable

    from worker.policy.simulation import Played

#: Where the first minute ends, and where the hour begins after which the vendor gives up.
_SOON_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Crowd:
    """The largest share of it that is polled within one second, the first poll left out."""

    #: In the first minute, from then until the vendor's hour is over, and in the minute after that.
    soon: float
    later: float
    after_the_hour: float

    @classmethod
    def of(cls, played: Iterable[Played]) -> Crowd:
        many = list(played)
        polls_s = [at_s for one in many for at_s in one.polls_s[1:]]
        ends_s = (0.0, _SOON_S, USER_TIMEOUT_S, USER_TIMEOUT_S + USER_TIMEOUT_SPREAD_S)
        return cls(*(_busiest(polls_s, begin_s, end_s) / len(many) for begin_s, end_s in pairwise(ends_s)))


def _busiest(polls_s: Iterable[float], begin_s: float, end_s: float) -> int:
    """How many polls there are in the second that has most."""
    return max(Counter(int(at_s) for at_s in polls_s if begin_s <= at_s < end_s).values(), default=0)
