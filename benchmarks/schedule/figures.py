"""Our policy and its peers in figures, and both at equal polls."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING, Final

from benchmarks.schedule.peers import AS_WRITTEN, DEADLINE_S, DOUBLING
from benchmarks.schedule.scenarios import POLICY_SEED
from worker.policy import Policy
from worker.rehearsal import Figures, play
from worker.schedule import Backoffs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.schedule.peers import Family
    from benchmarks.schedule.scenarios import Scenario
    from worker.rehearsal import Course
    from worker.settings import Settings

#: Halvings of the range in which a scale is looked for.
_STEPS: Final = 16


@dataclass(frozen=True, slots=True)
class Comparison:
    """Ours beside plain `2^n`: as it is written, and scaled until it polls as often as we do, or a little more."""

    ours: Figures
    as_written: Figures
    at_equal_polls: Figures

    @property
    def median_ratio(self) -> float:
        return self.ours.median_s / self.at_equal_polls.median_s

    @property
    def p95_ratio(self) -> float:
        return self.ours.p95_s / self.at_equal_polls.p95_s


def ours(settings: Settings, courses: Sequence[Course]) -> Figures:
    """The policy that workers have under `settings`."""
    return with_backoffs(Backoffs.from_settings(settings), courses)


def with_backoffs(backoffs: Backoffs, courses: Sequence[Course]) -> Figures:
    policy = Policy(backoffs, deadline_s=DEADLINE_S, random=Random(POLICY_SEED))
    return Figures.of([play(policy, course) for course in courses])


def of_family(family: Family, scale: float, courses: list[Course]) -> Figures:
    return Figures.of(family.play(scale, courses, Random(POLICY_SEED)))


def at_polls(family: Family, polls: float, courses: list[Course]) -> Figures:
    """The family at the largest scale at which it polls at least as often."""
    low, high = 1e-5, 7200.0
    for _ in range(_STEPS):
        middle = (low * high) ** 0.5
        if of_family(family, middle, courses).polls >= polls:
            low = middle
        else:
            high = middle
    return of_family(family, low, courses)


def compare(scenario: Scenario, settings: Settings, number: int) -> Comparison:
    """Under `number` courses of a scenario."""
    courses = scenario.courses(number)
    mine = ours(settings, courses)
    random = Random(POLICY_SEED)
    return Comparison(
        ours=mine,
        as_written=Figures.of([AS_WRITTEN.play(course, random) for course in courses]),
        at_equal_polls=at_polls(DOUBLING, mine.polls, courses),
    )


def curve_of_ours(settings: Settings, factors: Sequence[float], courses: Sequence[Course]) -> list[Figures]:
    """Ours with other factors and all else as it is: the smaller, the more polls and the less delay."""
    return [ours(replace(settings, poll_factor=factor), courses) for factor in factors]


def curve_of_family(family: Family, most_polls: float, courses: list[Course]) -> list[Figures]:
    """A peer from hardly ever to a little more than `most_polls`."""
    curve, scale = [], 3600.0
    while not curve or curve[-1].polls <= most_polls:
        curve.append(of_family(family, scale, courses))
        scale /= 1.5
    return curve
