"""Limits for the images that a process fetches: memory, and concurrent fetches from one host.

Both are divided between regions (``Shares``), and within a region between hosts. An image holds its memory from before
its body is read until it is stored, and waits for no other image meanwhile, so that there is no deadlock.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from dataclasses import dataclass, field
from fractions import Fraction
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from gevent.event import Event

from worker.concurrency.blocking import in_greenlet, pause
from worker.concurrency.shares import Shares
from worker.errors import ImageHostBusy
from worker.http_client import MIB, time_left_s

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

#: Memory for the bodies of images in one process. If a client library copies them they take twice as much, so a worker
#: stays below 1 GB with the 220 MB that it takes otherwise; the manifests in deploy/ allow 2 GB. With six regions, each
#: has 32 MiB reserved, in which the largest image fits.
TOTAL_BYTES: Final = 384 * MIB

#: Images that a process fetches at a time in all regions: its calls of the stage `archiving`.
PLACES: Final = 256

#: The share of a region's places that one host may use; the rest is for other hosts. Further fetches wait for a place,
#: which a host that is not slow gives back soon. A slow host has fewer places, and no fetch waits for it.
OF_A_HOST: Final = Fraction(7, 8)
OF_A_SLOW_HOST: Final = Fraction(1, 2)

#: A host is slow after a fetch that takes longer, until a quicker fetch has ended. A fetch waits as long for a place.
SLOW_S: Final = 2.0

#: How often a waiting fetch looks for a place.
LOOK_EVERY_S: Final = 0.02

#: The most slow hosts to remember. A region has one or two hosts.
MAX_SLOW: Final = 1000

#: The part of a region's memory that one host leaves to the others: three images of the largest size.
FOR_OTHER_HOSTS: Final = 64 * MIB


@dataclass(frozen=True, slots=True, eq=False)
class _Turn:
    """A fetch that waits for memory."""

    host: str
    size_bytes: int
    admitted: Any = field(default_factory=Event)


class Admissions:
    """Admits the images of all regions. Thread-safe.

    One host leaves a part of a region's memory to the others, and the host that holds least is next.

    Parameters:
        total_bytes: memory for all bodies. The largest image must fit in the part of each region.
        places: concurrent fetches in all regions.
    """

    def __init__(
        self,
        regions: Sequence[str] = (),
        *,
        total_bytes: int = TOTAL_BYTES,
        places: int = PLACES,
    ) -> None:
        most = Shares(places, regions).free(regions[0]) if regions else places
        self._per_host = max(int(most * OF_A_HOST), 1)
        self._per_slow_host = max(int(most * OF_A_SLOW_HOST), 1)
        self._lock = Lock()
        self._bytes = Shares(total_bytes, regions)
        self._waiting: dict[str, deque[_Turn]] = {}
        # The start times of the fetches in flight, oldest first.
        self._began: dict[tuple[str, str], dict[Admission, float]] = {}
        self._slow: dict[tuple[str, str], None] = {}
        self._held: Counter[tuple[str, str]] = Counter()
        most = self._bytes.free(regions[0]) if regions else total_bytes
        self._most_of_host = most - FOR_OTHER_HOSTS if most > 2 * FOR_OTHER_HOSTS else most

    def one(self, region: str) -> Admission:
        """Return the admission of one image, a context manager that gives everything back at the end of the block."""
        return Admission(self, region)

    def enter(self, admission: Admission, region: str, host: str) -> None:
        """Wait up to ``SLOW_S`` for a place at a host. Raises ``ImageHostBusy``."""
        give_up_at = monotonic() + SLOW_S
        while True:
            with self._lock:
                is_slow = self._is_slow(region, host)
                began = self._began.get((region, host), {})
                if len(began) < (self._per_slow_host if is_slow else self._per_host):
                    self._began[region, host] = began
                    began[admission] = monotonic()
                    return
            if is_slow or monotonic() > give_up_at:
                raise ImageHostBusy("the limit of concurrent fetches from one host is reached")
            pause(LOOK_EVERY_S)

    def _is_slow(self, region: str, host: str) -> bool:
        """Whether the oldest fetch in flight, or the last that ended, took longer than ``SLOW_S``."""
        first = next(iter(self._began.get((region, host), {}).values()), math.inf)
        return (region, host) in self._slow or monotonic() - first > SLOW_S

    def leave(self, admission: Admission, region: str, host: str) -> None:
        with self._lock:
            began = self._began[region, host]
            took_s = monotonic() - began.pop(admission)
            if not began:
                del self._began[region, host]
            self._slow.pop((region, host), None)
            if took_s > SLOW_S:
                self._slow[region, host] = None
                if len(self._slow) > MAX_SLOW:
                    del self._slow[next(iter(self._slow))]

    def reserve(self, region: str, host: str, size_bytes: int) -> None:
        """Wait for memory, within the caller's `deadline`. Raises ``ImageHostBusy`` if none is free in time."""
        with self._lock:
            # A plain thread, of a command or a test, is alone and needs no limit.
            if not in_greenlet() or (not self._waiting.get(region) and self._fits(region, host, size_bytes)):
                self._take(region, host, size_bytes)
                return
            turn = _Turn(host, size_bytes)
            self._waiting.setdefault(region, deque()).append(turn)
            self._hand_out(region)
        in_time = False
        try:
            in_time = turn.admitted.wait(time_left_s())
        finally:
            if not in_time:
                self._renounce(region, turn)
        if not in_time:
            raise ImageHostBusy("an image did not arrive: no memory was free for it in time")

    def give_back(self, region: str, host: str, size_bytes: int) -> None:
        with self._lock:
            self._give(region, host, size_bytes)

    def _renounce(self, region: str, turn: _Turn) -> None:
        """Stop waiting, and give back the memory if it was granted meanwhile."""
        with self._lock:
            if turn in self._waiting[region]:
                self._waiting[region].remove(turn)
                self._hand_out(region)
            else:
                self._give(region, turn.host, turn.size_bytes)

    def _take(self, region: str, host: str, size_bytes: int) -> None:
        self._bytes.take(region, size_bytes)
        self._held[region, host] += size_bytes

    def _give(self, region: str, host: str, size_bytes: int) -> None:
        self._bytes.give(region, size_bytes)
        self._held[region, host] -= size_bytes
        if not self._held[region, host]:
            del self._held[region, host]
        for each, waiting in self._waiting.items():
            if waiting:
                self._hand_out(each)

    def _hand_out(self, region: str) -> None:
        waiting = self._waiting[region]
        while (turn := self._next(region)) and turn.size_bytes <= self._bytes.free(region):
            waiting.remove(turn)
            self._take(region, turn.host, turn.size_bytes)
            turn.admitted.set()

    def _fits(self, region: str, host: str, size_bytes: int) -> bool:
        return size_bytes <= self._bytes.free(region) and self._may_hold(region, host, size_bytes)

    def _may_hold(self, region: str, host: str, size_bytes: int) -> bool:
        """Whether this leaves enough memory for the region's other hosts. Every host may have one image."""
        held = self._held[region, host]
        return not held or held + size_bytes <= self._most_of_host

    def _next(self, region: str) -> _Turn | None:
        """Return the next image: of the host that holds least, the image that has waited longest."""
        first: dict[str, _Turn] = {}
        for turn in self._waiting[region]:
            first.setdefault(turn.host, turn)

        def held(turn: _Turn) -> int:
            return self._held[region, turn.host]

        may = (turn for turn in first.values() if self._may_hold(region, turn.host, turn.size_bytes))
        return min(may, key=held, default=None)


class Admission:
    """The place and the memory of one image."""

    def __init__(self, admissions: Admissions, region: str) -> None:
        self._admissions = admissions
        self._region = region
        self._host = ""
        # The host where this has a place now.
        self._at: str | None = None
        self.size_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def enter(self, host: str) -> None:
        """Take a place at a host, after giving back that of an earlier fetch. Raises ``ImageHostBusy``."""
        self.end()
        self._admissions.enter(self, self._region, host)
        self._host = self._at = host

    def leave(self) -> None:
        """Give back the place: the fetch has ended, and its image is not stored yet."""
        if self._at is not None:
            host, self._at = self._at, None
            self._admissions.leave(self, self._region, host)

    def reserve(self, size_bytes: int) -> None:
        """Take memory for the host of the last `enter`. Raises ``ImageHostBusy``."""
        self._admissions.reserve(self._region, self._host, size_bytes)
        self.size_bytes = size_bytes

    def end(self) -> None:
        """Give back the place and the memory."""
        self.leave()
        size_bytes, self.size_bytes = self.size_bytes, 0
        if size_bytes:
            self._admissions.give_back(self._region, self._host, size_bytes)
