"""From the countdowns that we began with to those that we have, one change at a time."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

from benchmarks.schedule.figures import Figures
from benchmarks.schedule.peers import DEADLINE_S
from benchmarks.schedule.scenarios import POLICY_SEED
from worker.policy.backoff import SHORTEST_POLL, Backoff, Backoffs
from worker.policy.rules import Policy
from worker.policy.simulation import simulate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from worker.ledger.models import Verification
    from worker.policy.simulation import Scenario
    from worker.settings import Settings


class _Hourless(Policy):
    """Without the poll that follows the vendor's hour."""

    def _unsubmitted_s(self, verification: Verification, attempt: int) -> float:
        del verification
        return self.backoffs.unsubmitted.countdown_s(attempt, self._random)


def steps(settings: Settings, courses: Sequence[Scenario]) -> Iterator[tuple[str, Figures]]:
    """Each change, and the figures with it and all before."""
    doubling = Backoff(2.0, 2.0, settings.poll_cap_s)
    equal = replace(doubling, shortest=SHORTEST_POLL)
    slower = replace(equal, factor=settings.poll_factor)
    now = Backoffs.from_settings(settings)
    for change, backoffs, kind in (
        ("2, doubled, full jitter", Backoffs(doubling, doubling), _Hourless),
        ("equal jitter", Backoffs(equal, equal), _Hourless),
        (f"factor {settings.poll_factor:g}", Backoffs(slower, slower), _Hourless),
        ("slower while the user is at it", now, _Hourless),
        ("a poll just after the hour", now, Policy),
    ):
        policy = kind(backoffs, deadline_s=DEADLINE_S, random=Random(POLICY_SEED))
        yield change, Figures.of([simulate(policy, course) for course in courses])
