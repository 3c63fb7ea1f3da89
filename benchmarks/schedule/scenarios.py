"""The vendor's time to answer, as far as it can be assumed. `docs/schedule.md` says where each figure comes from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Final

from benchmarks.schedule.traffic import Span, Traffic, evenly
from worker.policy.backoff import USER_TIMEOUT_S
from worker.policy.simulation import Scenario

if TYPE_CHECKING:
    from collections.abc import Callable

#: Of the courses. Policies draw from another one: what they draw must have nothing to do with what they play.
SEED: Final = 20261123
POLICY_SEED: Final = 4

#: A user in the vendor's flow: a document with two sides.
USER: Final = Span(120.0, 360.0)
#: The vendor, where a machine decides.
MACHINE: Final = Span(6.0, 20.0)
#: The vendor, where people look.
PEOPLE: Final = Span(300.0, 1800.0)
#: The vendor, quicker than we think it is.
QUICKER: Final = Span(3.0, 10.0)
#: How long after the enqueue a user opens the link.
OPENED: Final = Span(60.0, 600.0)
#: Users who were done before the enqueue.
DONE: Final = Span(0.0, 0.0)


@dataclass(frozen=True, slots=True)
class ScenarioMix:
    """A distribution of the time to answer, with a name for tables."""

    name: str
    about: str
    draw: Callable[[int, Random], list[Scenario]]

    def courses(self, number: int) -> list[Scenario]:
        """The same every time, so that every policy plays the same."""
        return self.draw(number, Random(SEED))


def _unflagged(traffic: Traffic) -> Callable[[int, Random], list[Scenario]]:
    """The same without `submissionCompleted`, should the vendor not set it before the result."""

    def draw(number: int, random: Random) -> list[Scenario]:
        return [Scenario(answered_s=course.answered_s) for course in traffic.courses(number, random)]

    return draw


def _anything(number: int, random: Random) -> list[Scenario]:
    """Evenly between a second and an hour on a logarithmic scale: all that is known is "seconds to an hour"."""
    return [Scenario(answered_s=math.exp(share * math.log(3600.0))) for share in evenly(number, random)]


def _opened_late(number: int, random: Random) -> list[Scenario]:
    """Abandoned, should the vendor's hour begin when the link is opened."""
    opened_s = (OPENED.quantile_s(share) for share in evenly(number, random))
    return [Scenario(answered_s=at_s + USER_TIMEOUT_S) for at_s in opened_s]


def _mixture(*, told: bool) -> Traffic:
    return Traffic(USER, MACHINE, PEOPLE, looked_at=0.08, abandoned=0.23, never=0.02, told=told)


SCENARIOS: Final = (
    ScenarioMix("quick", "enqueued when the user is done, a machine decides", Traffic(DONE, MACHINE).courses),
    ScenarioMix("slow", "enqueued when the user is done, people look", Traffic(DONE, PEOPLE).courses),
    ScenarioMix("user", "enqueued before the user begins, a machine decides", Traffic(USER, MACHINE).courses),
    ScenarioMix(
        "user, told",
        "the same, and the pipeline nudges when the user is done",
        Traffic(USER, MACHINE, told=True).courses,
    ),
    ScenarioMix(
        "abandoned",
        "the user never finishes; the vendor gives up after its hour",
        Traffic(USER, MACHINE, abandoned=1.0).courses,
    ),
    ScenarioMix(
        "mixture",
        "75 % finish, people look at 8 % of those; 23 % abandoned; 2 % never answered",
        _mixture(told=False).courses,
    ),
    ScenarioMix(
        "mixture, told", "the same, and the pipeline nudges when users are done", _mixture(told=True).courses
    ),
    ScenarioMix("quicker", "as quick, in half the time", Traffic(DONE, QUICKER).courses),
    ScenarioMix("opened late", "as abandoned, the hour begins when the link is opened", _opened_late),
    ScenarioMix("anything", "one second to one hour, evenly on a logarithmic scale, and no flag", _anything),
    ScenarioMix(
        "user, no flag", "as user, submissionCompleted is never true", _unflagged(Traffic(USER, MACHINE))
    ),
    ScenarioMix(
        "quick, no flag", "as quick, submissionCompleted is never true", _unflagged(Traffic(DONE, MACHINE))
    ),
)
