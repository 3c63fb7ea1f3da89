"""When one verification would be polled if the vendor never answered."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Final

from worker.errors import InvalidInput
from worker.policy.backoff import SHORTEST_POLL, Backoffs
from worker.policy.rules import Policy
from worker.policy.simulation.polling import simulate
from worker.policy.simulation.scenario import Scenario

if TYPE_CHECKING:
    from worker.settings import Settings

#: The most polls in a timetable, for readability. The defaults have about 30.
MOST_POLLS: Final = 2000


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
