"""Simulates polls: the real policy against a vendor whose answers are known beforehand."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Final

from worker.advance.answers import Pending
from worker.errors import InvalidInput
from worker.ledger.fields import Field
from worker.ledger.models import Stage, Verification
from worker.policy.backoff import SHORTEST_POLL, Backoffs
from worker.policy.rules import Policy

if TYPE_CHECKING:
    from worker.settings import Settings

#: The most polls in a timetable, for readability. The defaults have about 30.
MOST_POLLS: Final = 2000


@dataclass(frozen=True, slots=True)
class Scenario:
    """One verification, in seconds since it was enqueued. Infinity: never."""

    #: When `submissionCompleted` becomes true.
    submitted_s: float = math.inf
    #: When the vendor has a result.
    answered_s: float = math.inf
    #: When the pipeline learns of the submission and nudges.
    nudged_s: float = math.inf
    #: When the vendor calls back that the result is there.
    called_back_s: float = math.inf


@dataclass(frozen=True, slots=True)
class Played:
    """The outcome of one simulated verification."""

    #: When it was polled, in seconds since it was enqueued.
    polls_s: tuple[float, ...]
    #: Time from the answer until a poll found it; None: the deadline came first.
    delay_s: float | None


def simulate(policy: Policy, course: Scenario) -> Played:
    """Poll a verification at once, like a fleet with free slots, and then at the times of `policy`.

    Nothing fails, and calls take no time.
    """
    polls_s = [0.0]
    verification = _read(0.0)
    while (now_s := polls_s[-1]) < course.answered_s:
        submitted = now_s >= course.submitted_s
        write = policy.after(verification, Pending(submission_completed=submitted))
        if write.stage is not Stage.POLLING:
            return Played(tuple(polls_s), None)
        # The ledger stores milliseconds.
        next_s = round(now_s + write.in_s, 3)
        for hint_s in (course.nudged_s, course.called_back_s):
            if now_s < hint_s < next_s:
                next_s = hint_s
        polls_s.append(next_s)
        verification = _read(
            next_s, nulls=int(write.fields[Field.NULLS]), submitted=Field.SUBMITTED in write.fields
        )
    return Played(tuple(polls_s), now_s - course.answered_s)


def _read(now_s: float, *, nulls: int = 0, submitted: bool = False) -> Verification:
    """Return the verification as the ledger gives it to a batch."""
    return Verification(
        "simulation",
        "global",
        Stage.POLLING,
        enqueued_at_ms=0,
        nulls=nulls,
        submission_completed=submitted,
        read_at_ms=round(now_s * 1000),
    )


@dataclass(frozen=True, slots=True)
class Moment:
    """The time of one poll, in seconds since the first: with the shortest, the mean and the longest countdowns."""

    earliest_s: float
    expected_s: float
    latest_s: float


class _Drawn(Random):
    """Jitter that is always the same share of its range."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self._share = share

    def uniform(self, a: float, b: float) -> float:
        return a + (b - a) * self._share


def timetable(settings: Settings, *, submitted: bool) -> list[Moment]:
    """Return the polls up to the deadline, as many as are expected.

    `submitted`: the user is done before the first poll.

    Raises ``InvalidInput`` if there would be more than `MOST_POLLS`.
    """
    if settings.poll_deadline_s > MOST_POLLS * settings.poll_cap_s * SHORTEST_POLL:
        raise InvalidInput(
            f"EKYC_POLL_CAP={settings.poll_cap_s:g} lets one verification be polled more than {MOST_POLLS:,} times "
            f"in EKYC_POLL_DEADLINE={settings.poll_deadline_s:g}: too many for a plan; raise the cap"
        )
    course = Scenario(submitted_s=0.0) if submitted else Scenario()
    earliest, expected, latest = (_polls_s(settings, course, share) for share in (0.0, 0.5, 1.0))
    # With long countdowns the deadline comes after fewer polls, and the last one is at the deadline.
    latest += latest[-1:] * (len(expected) - len(latest))
    return [Moment(*moments) for moments in zip(earliest, expected, latest, strict=False)]


def _polls_s(settings: Settings, course: Scenario, share: float) -> list[float]:
    policy = Policy(
        Backoffs.from_settings(settings), deadline_s=settings.poll_deadline_s, random=_Drawn(share)
    )
    return list(simulate(policy, course).polls_s)
