"""Simulates one verification from its first poll to its end, under a policy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.advance.answers import Pending
from worker.ledger.fields import Field
from worker.ledger.models import Stage, Verification

if TYPE_CHECKING:
    from worker.policy.rules import Policy
    from worker.policy.simulation.scenario import Scenario


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
        if now_s < course.nudged_s < next_s:
            next_s = course.nudged_s
        polls_s.append(next_s)
        verification = _read(
            next_s, nulls=int(write.fields[Field.NULLS]), submitted=Field.SUBMITTED in write.fields
        )
    return Played(tuple(polls_s), now_s - course.answered_s)


def _read(now_s: float, *, nulls: int = 0, submitted: bool = False) -> Verification:
    """Return the verification as the ledger gives it to a batch."""
    return Verification(
        "rehearsal",
        "global",
        Stage.POLLING,
        enqueued_at_ms=0,
        nulls=nulls,
        submission_completed=submitted,
        read_at_ms=round(now_s * 1000),
    )
