"""Traffic of a pipeline: how long users and the vendor take, and how many never finish."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Final

from worker.policy.backoff import USER_TIMEOUT_S
from worker.policy.simulation import Scenario

if TYPE_CHECKING:
    from random import Random

#: A standard normal variable is below this in 95 of 100 cases.
_P95: Final = NormalDist().inv_cdf(0.95)

#: How long before the enqueue the vendor's hour begins, at most: a pipeline requests the link, then enqueues.
LINK_AGE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Span:
    """A log-normal duration, like most durations with a minimum and no maximum."""

    median_s: float
    p95_s: float

    def quantile_s(self, share: float) -> float:
        """Return the duration that `share` (above 0, below 1) of all cases do not exceed."""
        if not self.median_s:
            return 0.0
        sigma = math.log(self.p95_s / self.median_s) / _P95
        return self.median_s * math.exp(sigma * NormalDist().inv_cdf(share))


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a pipeline enqueues.

    Parameters:
      user: how long users take, from the enqueue; `Span(0, 0)`: they are done by then.
      machine: how long the vendor takes, from the submission, if a machine decides.
      people: how long it takes if people look at the submission.
      looked_at: the share of submissions at which people look.
      abandoned: the share of users who never finish. The vendor answers so an hour after the link was created.
      never: the share that the vendor never answers.
      told: whether the pipeline learns of submissions, and nudges.
    """

    user: Span
    machine: Span
    people: Span = Span(0.0, 0.0)
    looked_at: float = 0.0
    abandoned: float = 0.0
    never: float = 0.0
    told: bool = False

    def courses(self, number: int, random: Random) -> list[Scenario]:
        """Return `number` scenarios in random order. Evenly spaced quantiles let few represent many."""
        kinds, users, vendors = (evenly(number, random) for _ in range(3))
        return [self._course(*shares) for shares in zip(kinds, users, vendors, strict=True)]

    def _course(self, kind: float, user: float, vendor: float) -> Scenario:
        if kind < self.never:
            return Scenario()
        if kind < self.never + self.abandoned:
            begun_s = LINK_AGE_S * user
            return Scenario(answered_s=USER_TIMEOUT_S - begun_s + self.machine.quantile_s(vendor))
        left = 1.0 - self.never - self.abandoned
        looked_at = kind > 1.0 - left * self.looked_at
        submitted_s = self.user.quantile_s(user)
        return Scenario(
            submitted_s,
            submitted_s + (self.people if looked_at else self.machine).quantile_s(vendor),
            submitted_s if self.told else math.inf,
        )


def evenly(number: int, random: Random) -> list[float]:
    """Return `number` shares between 0 and 1, evenly spaced, shuffled."""
    shares = [(index + 0.5) / number for index in range(number)]
    random.shuffle(shares)
    return shares
