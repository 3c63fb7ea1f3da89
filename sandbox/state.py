"""Which answer of its scenario each id gets next. Thread-safe."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from enum import StrEnum
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from sandbox.grammar import parse
from sandbox.scenario import Fault, Settled

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.scenario import Scenario, Step

#: Ids that are remembered, about 0.4 kB each. Beyond it the least recently used id is forgotten, and starts over.
MAX_IDS: Final = 1_000_000


class Clearance(StrEnum):
    """What became of a request to delete, in the words of the vendor's messages."""

    CLEARED = "OK"
    UNKNOWN = "SignatureId is not exist"
    UNFINISHED = "Transaction is not finished"


@dataclass(slots=True)
class Track:
    """The state of one id. Times are epoch milliseconds."""

    scenario: Scenario
    #: Get Result calls for the id, whatever the answer.
    asks: int = 0
    first_asked_at_ms: int | None = None
    #: Answers given from the id's own scenario.
    given: int = 0
    #: Whether its callbacks were ordered.
    called_back: bool = False
    #: When the newest answer without a result was given.
    unsettled_at_ms: int = 0
    #: Results given.
    settled: int = 0
    settled_first_given_at_ms: int | None = None
    image_gets: int = 0
    #: Whether its data was deleted on request.
    cleared: bool = False

    def next_step(self, now_ms: int) -> Step:
        waited_s = (now_ms - (self.first_asked_at_ms or now_ms)) / 1000
        return self.scenario.step(self.given, waited_s)

    def ready_at_ms(self, now_ms: int) -> int | None:
        """Return when the result became available: any poll from then on would have returned it. None: not yet."""
        if self.first_asked_at_ms is None or not isinstance(self.next_step(now_ms), Settled):
            return None
        return max(self.unsettled_at_ms, self.first_asked_at_ms + round(self.scenario.wait_s * 1000))

    def ready_in_s(self, now_ms: int) -> float | None:
        """Return when the result will be available without another poll; None: another poll must come first."""
        first_ms = self.first_asked_at_ms
        if first_ms is None or not isinstance(self.scenario.step(self.given, self.scenario.wait_s), Settled):
            return None
        return max(0.0, self.scenario.wait_s - (now_ms - first_ms) / 1000)


@dataclass(frozen=True, slots=True)
class Given:
    """The answer that an id gets."""

    scenario: Scenario
    step: Step
    #: Results given to that id before.
    settled_before: int
    first_asked_at_ms: int
    #: Seconds until the callback about the result, if this answer is the last one before it.
    ready_in_s: float | None = None


class State:
    """The tracks of all ids.

    Parameters:
      seed: varies the scenarios of plain ids.
      clock: returns the epoch in seconds.
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
        """Count a poll. Return how many came before it, and the delay of its answer in seconds."""
        with self._lock:
            track = self._track(signature_id)
            before = track.asks
            track.asks += 1
            if track.first_asked_at_ms is None:
                track.first_asked_at_ms = self._now_ms()
            return before, track.scenario.latency_of(before)

    def give(self, signature_id: str) -> Given:
        """Return the next answer of the id's scenario, and count it."""
        with self._lock:
            track, now_ms = self._track(signature_id), self._now_ms()
            step = track.next_step(now_ms)
            given = Given(track.scenario, step, track.settled, track.first_asked_at_ms or now_ms)
            track.given += 1
            if not isinstance(step, Settled):
                track.unsettled_at_ms = now_ms
                return replace(given, ready_in_s=self._calls_back(track, now_ms))
            track.settled += 1
            if track.settled_first_given_at_ms is None:
                track.settled_first_given_at_ms = now_ms
            return given

    def _calls_back(self, track: Track, now_ms: int) -> float | None:
        in_s = None if track.called_back else track.ready_in_s(now_ms)
        track.called_back |= in_s is not None
        return in_s

    def image(self, signature_id: str) -> tuple[Scenario, Fault | None]:
        """Count a GET of an image. Return the id's scenario, and the fault of this GET, if any."""
        with self._lock:
            track = self._track(signature_id)
            before = track.image_gets
            track.image_gets += 1
            fault = track.scenario.image_fault
            return track.scenario, fault if fault and before < fault.times else None

    def clear(self, signature_id: str) -> Clearance:
        """Delete the data of an id, which is then unknown, as the real vendor may have it."""
        with self._lock:
            track = self._tracks.get(signature_id)
            if track is None or track.cleared or track.first_asked_at_ms is None:
                return Clearance.UNKNOWN
            if not isinstance(track.next_step(self._now_ms()), Settled):
                return Clearance.UNFINISHED
            track.cleared = True
            return Clearance.CLEARED

    def is_cleared(self, signature_id: str) -> bool:
        with self._lock:
            track = self._tracks.get(signature_id)
            return track is not None and track.cleared

    def verifications(self) -> dict[str, dict[str, Any]]:
        """Return the figures of every id that is remembered."""
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
                    "cleared": track.cleared,
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
