"""The last hour of a region in figures, minute by minute, from the lines that claims write to `minutes` in the ledger.

A line has the counters at one claim of a minute: see ``lua/common.lua``. The growth between two lines happened in the
minutes between them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from worker.ledger.histograms import Distribution, Timing
    from worker.ledger.models import Counts

_T = TypeVar("_T")

#: How many whole minutes are shown.
MINUTES: Final = 60

#: The most lines that claims keep, as in ``lua/claim.lua``.
MOST_LINES: Final = MINUTES + 2

_MINUTE_MS: Final = 60_000

_LINE: Final = re.compile(rb"(\d{1,16})\|(\d{1,16})\|(\d{1,16})\|(\d{1,16})\|(\d{1,16})\|(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Line:
    """The counters of a region at one moment, since its ledger began."""

    at_ms: int
    enqueued: int
    polls: int
    decided: int
    leases_expired: int
    #: Counters of durations, for ``worker.ledger.histograms``.
    took: Mapping[str, int]

    @classmethod
    def read(cls, text: bytes) -> Line | None:
        """Return what a line says. None: a later release has another form."""
        found = _LINE.fullmatch(text)
        if found is None:
            return None
        *numbers, took = found.groups()
        at_ms, enqueued, polls, decided, leases_expired = map(int, numbers)
        return cls(
            at_ms, enqueued, polls, decided, leases_expired, dict(_took(took.decode(errors="replace")))
        )

    @classmethod
    def now(cls, counts: Counts) -> Line:
        """Return the line that the counts of this moment make."""
        decided = sum(counts.decisions.values())
        return cls(
            counts.read_at_ms, counts.enqueued, counts.polls, decided, counts.leases_expired, counts.took
        )

    @property
    def minute(self) -> int:
        return self.at_ms // _MINUTE_MS


@dataclass(frozen=True, slots=True)
class Delay:
    """How long something took, in seconds: the time that half of them took at most, and the one that 95 % took."""

    median_s: float
    most_s: float
    count: int


@dataclass(frozen=True, slots=True)
class Hour:
    """The lines of the last hour, by time; the last one is of this moment."""

    lines: tuple[Line, ...]

    @classmethod
    def of(cls, texts: Iterable[bytes], counts: Counts) -> Hour:
        """Return the hour that ends with `counts`."""
        now = Line.now(counts)
        found = [line for text in texts if (line := Line.read(text)) and line.at_ms <= now.at_ms]
        # By time: the newest lines are the last, and a clock that went back leaves lines that do not fit.
        kept: list[Line] = []
        for line in reversed(found):
            if now.minute - line.minute > MINUTES + 1:
                break
            if line.minute < (kept[-1].minute if kept else now.minute + 1):
                kept.append(line)
        return cls((*reversed(kept), now))

    @property
    def covers_s(self) -> float:
        """Seconds between the first line and now: an hour, or less if the ledger or the fleet is younger."""
        return (self.lines[-1].at_ms - self.lines[0].at_ms) / 1000

    def growth(self, read: Callable[[Line], int]) -> int:
        """Return by how much a counter grew."""
        return sum(max(read(after) - read(before), 0) for before, after in pairwise(self.lines))

    def per_minute(self, read: Callable[[Line], int]) -> tuple[float | None, ...]:
        """Return the growth of a counter in each whole minute, oldest first. None: not known."""

        def rate(before: Line, after: Line, minutes: int) -> float:
            return max(read(after) - read(before), 0) / minutes

        return self._slots(rate)

    def delays(self, timing: Timing) -> tuple[Delay | None, ...]:
        """Return how long something took in each whole minute, oldest first. None: not known, or nothing happened."""
        return self._slots(lambda before, after, _: _delay(timing, before, after))

    def delay(self, timing: Timing) -> Delay | None:
        """Return how long something took in the whole time. None: nothing happened."""
        return _delay(timing, self.lines[0], self.lines[-1])

    def _slots(self, of: Callable[[Line, Line, int], _T]) -> tuple[_T | None, ...]:
        """Return a value for each whole minute before this one, by the two lines around it."""
        slots: list[_T | None] = [None] * MINUTES
        first = self.lines[-1].minute - MINUTES
        for before, after in pairwise(self.lines):
            minutes = max(after.minute - before.minute, 1)
            value = of(before, after, minutes)
            for minute in range(before.minute, before.minute + minutes):
                if 0 <= minute - first < MINUTES:
                    slots[minute - first] = value
        return tuple(slots)


def _delay(timing: Timing, before: Line, after: Line) -> Delay | None:
    grown = {name: max(count - before.took.get(name, 0), 0) for name, count in after.took.items()}
    spread: Distribution = timing.read(grown)
    median_s, most_s = spread.quantile(0.5), spread.quantile(0.95)
    return None if median_s is None or most_s is None else Delay(median_s, most_s, spread.count)


def _took(text: str) -> Iterator[tuple[str, int]]:
    for part in text.split():
        name, _, count = part.rpartition("=")
        if count.isascii() and count.isdigit():
            yield name, int(count)
