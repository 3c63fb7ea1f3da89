"""Our policy and its peers in figures, and both at equal polls."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from random import Random
from statistics import fmean
from typing import TYPE_CHECKING, Final, Self

from benchmarks.schedule.peers import AS_WRITTEN, DEADLINE_S, FAMILIES
from benchmarks.schedule.scenarios import POLICY_SEED
from worker.policy.backoff import Backoffs
from worker.policy.rules import Policy
from worker.policy.simulation import simulate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.schedule.peers import Family
    from benchmarks.schedule.scenarios import ScenarioMix
    from worker.policy.simulation import Played, Scenario
    from worker.settings import Settings

#: Halvings of the octave in which a scale is looked for.
_STEPS: Final = 8


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
            polls=sum(len(each.polls_s) for each in played) / len(played),
            median_s=delays_s[len(delays_s) // 2],
            p95_s=delays_s[int(len(delays_s) * 0.95)],
            waits_s=fmean(each.polls_s[-1] for each in played),
        )


@dataclass(frozen=True, slots=True)
class Comparison:
    """Ours beside `2 ** n` as written, and beside each family where it polls as often as we do, or a little more."""

    ours: Figures
    as_written: Figures
    #: By the family's name.
    at_our_polls: dict[str, Figures]

    def median_ratio(self, family: Family) -> float:
        return self.ours.median_s / self.at_our_polls[family.name].median_s

    def p95_ratio(self, family: Family) -> float:
        return self.ours.p95_s / self.at_our_polls[family.name].p95_s


def ours(settings: Settings, courses: Sequence[Scenario]) -> Figures:
    """The policy that workers have under `settings`."""
    policy = Policy(Backoffs.from_settings(settings), deadline_s=DEADLINE_S, random=Random(POLICY_SEED))
    return Figures.of([simulate(policy, course) for course in courses])


def of_family(family: Family, scale: float, courses: list[Scenario]) -> Figures:
    return Figures.of(family.play(scale, courses, Random(POLICY_SEED)))


def at_polls(family: Family, polls: float, courses: list[Scenario]) -> Figures:
    """The family at the largest scale at which it polls at least as often."""
    low = 4096.0
    while of_family(family, low, courses).polls < polls:
        low /= 2
    high = 2 * low
    for _ in range(_STEPS):
        middle = (low * high) ** 0.5
        if of_family(family, middle, courses).polls >= polls:
            low = middle
        else:
            high = middle
    return of_family(family, low, courses)


def compare(
    scenario: ScenarioMix, settings: Settings, number: int, families: Sequence[Family] = FAMILIES
) -> Comparison:
    """Under `number` courses of a scenario."""
    courses = scenario.courses(number)
    mine = ours(settings, courses)
    random = Random(POLICY_SEED)
    return Comparison(
        ours=mine,
        as_written=Figures.of([AS_WRITTEN.play(course, random) for course in courses]),
        at_our_polls={family.name: at_polls(family, mine.polls, courses) for family in families},
    )


def curve_of_ours(settings: Settings, factors: Sequence[float], courses: Sequence[Scenario]) -> list[Figures]:
    """Ours with other factors and all else as it is: the smaller, the more polls and the less delay."""
    return [ours(replace(settings, poll_factor=factor), courses) for factor in factors]


def curve_of_family(family: Family, most_polls: float, courses: list[Scenario]) -> list[Figures]:
    """A peer from hardly ever to a little more than `most_polls`."""
    curve: list[Figures] = []
    scale = 3600.0
    while not curve or curve[-1].polls <= most_polls:
        curve.append(of_family(family, scale, courses))
        scale /= 1.5
    return curve
