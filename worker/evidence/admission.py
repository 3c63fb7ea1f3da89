"""What the images that are being fetched may take of a process: bytes of its memory, and calls to one host.

Both are shared by regions (``Shares``), and within a region by hosts. An image holds its bytes from before its body is
read until it is stored, and waits for no second image meanwhile, so that no two can wait for each other.
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

#: For the bodies of images that one process holds. They may take twice that where a client library copies them, so that
#: a worker stays below 1 GB with the 220 MB that it takes otherwise; the manifests in deploy/ allow it 2 GB. With six
#: regions each has 32 MiB for itself, in which the largest image fits.
TOTAL_BYTES: Final = 384 * MIB

#: Images that a process fetches at a time, which the regions share: its calls of the stage `archiving`.
PLACES: Final = 256

#: Of a region's places, what one host may have; the others are for other hosts. More fetches wait for a place, which a
#: host that is not slow gives back soon. A slow one has fewer, and no fetch waits for it.
OF_A_HOST: Final = Fraction(7, 8)
OF_A_SLOW_HOST: Final = Fraction(1, 2)

#: A host is slow where a fetch takes longer, until one that was quicker has ended. It is also for how long a place is
#: waited for.
SLOW_S: Final = 2.0

#: How often a fetch that waits looks for a place.
LOOK_EVERY_S: Final = 0.02

#: Slow hosts that are remembered. A region has one or two.
MAX_SLOW: Final = 1000

#: What the images of one host leave of a region's memory to its other hosts: three images of the largest size.
FOR_OTHER_HOSTS: Final = 64 * MIB


@dataclass(frozen=True, slots=True, eq=False)
class _Turn:
    """An image that waits for memory."""

    host: str
    size_bytes: int
    admitted: Any = field(default_factory=Event)


class Admissions:
    """Admits images of all regions; safe to share between threads.

    Of a region's memory one host leaves some to the others, and the host that holds least is the next one.

    Parameters:
        total_bytes: for the bodies of all; the part of each region must have room for the largest image.
        places: fetches of all regions at a time.
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
        # When the fetches began that are under way, the first one first.
        self._began: dict[tuple[str, str], dict[Admission, float]] = {}
        self._slow: dict[tuple[str, str], None] = {}
        self._held: Counter[tuple[str, str]] = Counter()
        most = self._bytes.free(regions[0]) if regions else total_bytes
        self._most_of_host = most - FOR_OTHER_HOSTS if most > 2 * FOR_OTHER_HOSTS else most

    def one(self, region: str) -> Admission:
        """Room for one image: what it takes is given back at the end of the block."""
        return Admission(self, region)

    def enter(self, admission: Admission, region: str, host: str) -> None:
        """Wait for a place at a host, for a moment. Raises ``ImageHostBusy``."""
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
                raise ImageHostBusy("as many images as may be are being fetched from one host")
            pause(LOOK_EVERY_S)

    def _is_slow(self, region: str, host: str) -> bool:
        """Whether a fetch that is under way, or the last that has ended, takes or took long."""
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
        """Wait for memory, within the caller's `deadline`. Raises ``ImageHostBusy`` where there is none in time."""
        with self._lock:
            # A plain thread, of a command or a test, is alone: it takes what it needs.
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
        """Wait no longer; what has been handed out meanwhile is given back."""
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
        """Whether that leaves enough to the region's other hosts. Any host may have one image."""
        held = self._held[region, host]
        return not held or held + size_bytes <= self._most_of_host

    def _next(self, region: str) -> _Turn | None:
        """The image whose turn it is: of the host that holds least, the one that has waited longest."""
        first: dict[str, _Turn] = {}
        for turn in self._waiting[region]:
            first.setdefault(turn.host, turn)

        def held(turn: _Turn) -> int:
            return self._held[region, turn.host]

        may = (turn for turn in first.values() if self._may_hold(region, turn.host, turn.size_bytes))
        return min(may, key=held, default=None)


class Admission:
    """What one image has taken."""

    def __init__(self, admissions: Admissions, region: str) -> None:
        self._admissions = admissions
        self._region = region
        self._host = ""
        # The host, while a place is taken there.
        self._at: str | None = None
        self.size_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def enter(self, host: str) -> None:
        """Take a place at a host, and give back what an earlier fetch took. Raises ``ImageHostBusy``."""
        self.end()
        self._admissions.enter(self, self._region, host)
        self._host = self._at = host

    def leave(self) -> None:
        """Give back the place: the fetch has ended, and its image is still to be stored."""
        if self._at is not None:
            host, self._at = self._at, None
            self._admissions.leave(self, self._region, host)

    def reserve(self, size_bytes: int) -> None:
        """Take memory, at the host where a place was taken. Raises ``ImageHostBusy``."""
        self._admissions.reserve(self._region, self._host, size_bytes)
        self.size_bytes = size_bytes

    def end(self) -> None:
        """Give back all of it."""
        self.leave()
        size_bytes, self.size_bytes = self.size_bytes, 0
        if size_bytes:
            self._admissions.give_back(self._region, self._host, size_bytes)
