"""The load of a rate of verifications: calls of the vendor, waiting users, workers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Final

from worker.policy.backoff import Backoffs
from worker.policy.rules import Policy
from worker.policy.simulation.figures import Figures
from worker.policy.simulation.polling import simulate

if TYPE_CHECKING:
    from worker.policy.simulation.scenario import Traffic
    from worker.settings import Settings

#: Verifications in a simulation. With five times as many, polls differed by less than 1 %, delays by less than 8 %.
NUMBER: Final = 2000

#: How busy a worker should be: above this share, what comes in a burst waits until the burst ends.
BUSY: Final = 0.7


@dataclass(frozen=True, slots=True)
class Cost:
    """Processor time of a worker. A worker is a process with one core, so it has 1,000 ms a second."""

    poll_ms: float
    #: For archiving and deciding a settled verification.
    decision_ms: float


@dataclass(frozen=True, slots=True)
class Load:
    """A steady load of one region."""

    per_second: float
    figures: Figures

    @property
    def calls_per_second(self) -> float:
        """Calls of the vendor per second."""
        return self.per_second * self.figures.polls

    @property
    def waiting(self) -> float:
        """Verifications that wait at any time, by Little's law."""
        return self.per_second * self.figures.waits_s

    def workers(self, cost: Cost) -> int:
        """Return the number of workers needed, each `BUSY`."""
        busy_ms = self.calls_per_second * cost.poll_ms + self.per_second * cost.decision_ms
        return max(1, math.ceil(busy_ms / 1000 / BUSY))


def load(settings: Settings, traffic: Traffic, per_second: float) -> Load:
    """Return the load of `per_second` verifications of `traffic` under these settings. It is deterministic."""
    policy = Policy(
        Backoffs.from_settings(settings),
        deadline_s=settings.poll_deadline_s,
        random=Random(1),  # noqa: S311 - jitter
    )
    courses = traffic.courses(NUMBER, Random(2))  # noqa: S311 - no secret
    return Load(per_second, Figures.of([simulate(policy, course) for course in courses]))
