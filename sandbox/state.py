"""How far along its script each id is. Safe to use from many threads."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from sandbox.grammar import parse
from sandbox.scenario import Fault, Settled

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.scenario import Scenario, Step

#: Ids that are remembered, about 0.4 kB each. Then the one not heard of for longest is forgotten, and starts over.
MAX_IDS: Final = 1_000_000


@dataclass(slots=True)
class Track:
    """One id. Times are epoch milliseconds."""

    scenario: Scenario
    #: Get Result calls that named the id, whatever became of them.
    asks: int = 0
    first_asked_at_ms: int | None = None
    #: Answers given from the id's own script.
    given: int = 0
    #: When the newest answer was given that was no result.
    unsettled_at_ms: int = 0
    #: Results given.
    settled: int = 0
    settled_first_given_at_ms: int | None = None
    image_gets: int = 0

    def next_step(self, now_ms: int) -> Step:
        waited_s = (now_ms - (self.first_asked_at_ms or now_ms)) / 1000
        return self.scenario.step(self.given, waited_s)

    def ready_at_ms(self, now_ms: int) -> int | None:
        """When the result became obtainable: any ask from then on would have brought it. None: not yet."""
        if self.first_asked_at_ms is None or not isinstance(self.next_step(now_ms), Settled):
            return None
        return max(self.unsettled_at_ms, self.first_asked_at_ms + round(self.scenario.wait_s * 1000))


@dataclass(frozen=True, slots=True)
class Given:
    """What an id is to be answered."""

    scenario: Scenario
    step: Step
    #: Results given to that id before.
    settled_before: int
    first_asked_at_ms: int


class State:
    """The tracks of all ids.

    Parameters:
      seed: varies the course of plain ids.
      clock: the epoch in seconds.
    """

    def __init__(
        self, *, seed: int = 0, max_ids: int = MAX_IDS, clock: Callable[[], float] = time.time
    ) -> None:
        self._seed = seed
        self._max_ids = max_ids
        self._clock = clock
        self._lock = Lock()
        self._tracks: OrderedDict[str, Track] = OrderedDict()

    def ask(self, signature_id: str) -> tuple[int, float]:
        """Count an ask. Returns how many came before it, and the seconds by which its answer is to be late."""
        with self._lock:
            track = self._track(signature_id)
            before = track.asks
            track.asks += 1
            if track.first_asked_at_ms is None:
                track.first_asked_at_ms = self._now_ms()
            return before, track.scenario.latency_of(before)

    def give(self, signature_id: str) -> Given:
        """Take the next answer of the id's script."""
        with self._lock:
            track, now_ms = self._track(signature_id), self._now_ms()
            step = track.next_step(now_ms)
            given = Given(track.scenario, step, track.settled, track.first_asked_at_ms or now_ms)
            track.given += 1
            if not isinstance(step, Settled):
                track.unsettled_at_ms = now_ms
                return given
            track.settled += 1
            if track.settled_first_given_at_ms is None:
                track.settled_first_given_at_ms = now_ms
            return given

    def image(self, signature_id: str) -> tuple[Scenario, Fault | None]:
        """Count a GET of an image. Returns what the id asks for, and the fault that comes now, if any."""
        with self._lock:
            track = self._track(signature_id)
            before = track.image_gets
            track.image_gets += 1
            fault = track.scenario.image_fault
            return track.scenario, fault if fault and before < fault.times else None

    def verifications(self) -> dict[str, dict[str, Any]]:
        """Every id that is remembered, in figures."""
        with self._lock:
            now_ms = self._now_ms()
            return {
                signature_id: {
                    "asks": track.asks,
                    "first_asked_at_ms": track.first_asked_at_ms,
                    "ready_at_ms": track.ready_at_ms(now_ms),
                    "settled_first_given_at_ms": track.settled_first_given_at_ms,
                    "settled_given": track.settled,
                    "image_gets": track.image_gets,
                }
                for signature_id, track in self._tracks.items()
            }

    def _track(self, signature_id: str) -> Track:
        track = self._tracks.get(signature_id)
        if track is None:
            track = self._tracks[signature_id] = Track(parse(signature_id, seed=self._seed))
            if len(self._tracks) > self._max_ids:
                self._tracks.popitem(last=False)
        else:
            self._tracks.move_to_end(signature_id)
        return track

    def _now_ms(self) -> int:
        return round(self._clock() * 1000)
