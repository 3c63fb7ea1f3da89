"""The schedule of the faults: a pure function of the seed."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.chaos.profile import Lane, Profile


@dataclass(frozen=True, slots=True, order=True)
class Strike:
    """One fault: its start, its name, its duration, and the worker that it is for, if any."""

    at_s: float
    fault: str
    for_s: float = 0.0
    #: The worker's place in the fleet; -1: not for a worker.
    place: int = -1

    def __str__(self) -> str:
        target = f" worker {self.place}" if self.place >= 0 else ""
        length = f" for {self.for_s:.0f} s" if self.for_s else ""
        return f"{self.at_s:6.1f} s  {self.fault}{target}{length}"


def schedule(seed: int, profile: Profile) -> tuple[Strike, ...]:
    """Return every strike of a run, in the order of their times."""
    random = Random(f"{seed}:{profile.name}")
    strikes = [strike for lane in profile.lanes for strike in _lane(random, lane, profile.workers)]
    frozen = [strike for strike in strikes if strike.fault == "zombie"]
    kills = (
        Strike(at_s, "worker_killed", place=_place(random, at_s, frozen, profile.workers))
        for at_s in _moments(random, profile.kills, profile.travel_s)
    )
    return tuple(sorted((*strikes, *kills)))


def _lane(random: Random, lane: Lane, workers: int) -> list[Strike]:
    """Return a lane's faults in random order, with the remaining time distributed between them at random."""
    faults = random.sample(lane.faults, len(lane.faults))
    free_s = lane.end_s - lane.begin_s - sum(for_s for _, for_s in faults)
    pauses = sorted(random.uniform(0.0, free_s) for _ in faults)
    strikes, busy_s = [], 0.0
    for (fault, for_s), pause_s in zip(faults, pauses, strict=True):
        place = random.randrange(workers) if fault == "zombie" else -1
        strikes.append(Strike(round(lane.begin_s + busy_s + pause_s, 1), fault, for_s, place))
        busy_s += for_s
    return strikes


def _moments(random: Random, number: int, travel_s: float) -> list[float]:
    """Return one moment in each of `number` equal parts of the time, so that killed workers have time to start."""
    part_s = travel_s / number
    return [round(part_s * (turn + random.uniform(0.3, 0.9)), 1) for turn in range(number)]


def _place(random: Random, at_s: float, frozen: Sequence[Strike], workers: int) -> int:
    """Return the place of a worker that is not frozen then: a frozen worker must be resumed."""
    spared = {
        strike.place for strike in frozen if strike.at_s - 1.0 <= at_s <= strike.at_s + 3 * strike.for_s
    }
    return random.choice([place for place in range(workers) if place not in spared])
