"""Countdowns as people write them on plain Celery, where a countdown is all that a retry knows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from benchmarks.schedule.traffic import evenly
from worker.policy.simulation import Played

if TYPE_CHECKING:
    from random import Random

    from worker.policy.simulation import Scenario

#: When somebody who polls by hand stops, as `EKYC_POLL_DEADLINE`.
DEADLINE_S: Final = 7200.0


@dataclass(frozen=True, slots=True)
class Peer:
    """`self.retry(countdown=min(longest, scale * growth ** retries))`.

    A notification starts the countdowns again, as a task that is sent for it would; the chain before it costs nothing.
    On plain Celery it would poll on beside the new one.
    """

    scale_s: float
    growth: float = 2.0
    longest_s: float = math.inf
    #: Evenly between zero and that: Celery's `retry_jitter`.
    jitter: bool = False

    def scaled(self, by: float) -> Self:
        return type(self)(self.scale_s * by, self.growth, self.longest_s, self.jitter)

    def countdown_s(self, retries: int, random: Random) -> float:
        longest_s = min(self.longest_s, self.scale_s * self.growth ** min(retries, 64))
        return random.uniform(0.0, longest_s) if self.jitter else longest_s

    def play(self, course: Scenario, random: Random) -> Played:
        """As `worker.policy.simulation.simulate`: the first poll is at once."""
        polls_s, retries = [0.0], 0
        while (now_s := polls_s[-1]) < course.answered_s:
            if now_s >= DEADLINE_S:
                return Played(tuple(polls_s), None)
            next_s = now_s + self.countdown_s(retries, random)
            retries += 1
            if now_s < course.nudged_s < next_s:
                next_s, retries = course.nudged_s, 0
            polls_s.append(next_s)
        return Played(tuple(polls_s), now_s - course.answered_s)


@dataclass(frozen=True, slots=True)
class Family:
    """A peer at every scale.

    Each verification gets a scale of its own within `spread` around the one that is meant. Countdowns without jitter
    fall on the same seconds for everybody, and at one scale in a hundred these are those of the answer: nobody can
    choose that scale beforehand, so its luck must not count for the shape.
    """

    name: str
    peer: Peer
    spread: float

    def play(self, scale: float, courses: list[Scenario], random: Random) -> list[Played]:
        shares = evenly(len(courses), random)
        return [
            self.peer.scaled(scale * self.spread ** (share - 0.5)).play(course, random)
            for share, course in zip(shares, courses, strict=True)
        ]


#: Just as it is written in most tasks: `countdown=2 ** self.request.retries`.
AS_WRITTEN: Final = Peer(1.0)

#: From `2 ** n` to `2 ** (n + 1)` is an octave: over one, every phase comes once.
DOUBLING: Final = Family("2^n", AS_WRITTEN, spread=2.0)

#: `autoretry_for` with `retry_backoff=…`: Celery caps it at 600 s and jitters it in full unless told otherwise.
AUTORETRY: Final = Family("Celery's retry_backoff", Peer(1.0, longest_s=600.0, jitter=True), spread=2.0)

FIXED: Final = Family("fixed interval", Peer(1.0, growth=1.0), spread=1.2)

FAMILIES: Final = (DOUBLING, AUTORETRY, FIXED)
