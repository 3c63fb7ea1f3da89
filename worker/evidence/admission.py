"""What the images that are being fetched may take of a process: bytes of its memory, and calls to one host.

Both are shared by regions (``Shares``), and within a region by hosts. An image holds its bytes from before its body is
read until it is stored, and waits for no second image meanwhile, so that no two can wait for each other.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from dataclasses import dataclass, field
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from gevent.event import Event

from worker.errors import ImageHostBusy
from worker.greenlets import in_greenlet
from worker.load import Shares
from worker.transport import MIB, time_left_s

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

#: For the bodies of images that one process holds. They may take twice that where a client library copies them, so that
#: a worker stays below 1 GB with the 220 MB that it takes otherwise; the manifests in deploy/ allow it 2 GB. With six
#: regions each has 32 MiB for itself, in which the largest image fits.
TOTAL_BYTES: Final = 384 * MIB

#: Fetches of one region from one host at a time: half of what a process archives at a time, so that a host that hangs
#: leaves places to the other hosts of its region. A host that delivers may have seven eighths.
PER_HOST: Final = 128
PER_HOST_THAT_DELIVERS: Final = 224

#: A host delivers where an image of it arrived so long ago or less.
DELIVERED_WITHIN_S: Final = 1.0

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
        per_host: fetches of one region from one host, and how many of one that delivers.
    """

    def __init__(
        self,
        regions: Sequence[str] = (),
        *,
        total_bytes: int = TOTAL_BYTES,
        per_host: tuple[int, int] = (PER_HOST, PER_HOST_THAT_DELIVERS),
    ) -> None:
        self._per_host, self._per_host_that_delivers = per_host
        self._lock = Lock()
        self._bytes = Shares(total_bytes, regions)
        self._waiting: dict[str, deque[_Turn]] = {}
        self._at_host: Counter[tuple[str, str]] = Counter()
        self._delivered_at: dict[tuple[str, str], float] = {}
        self._held: Counter[tuple[str, str]] = Counter()
        most = self._bytes.free(regions[0]) if regions else total_bytes
        self._most_of_host = most - FOR_OTHER_HOSTS if most > 2 * FOR_OTHER_HOSTS else most

    def one(self, region: str) -> Admission:
        """Room for one image: what it takes is given back at the end of the block."""
        return Admission(self, region)

    def enter(self, region: str, host: str) -> None:
        """Raises ``ImageHostBusy``."""
        with self._lock:
            under_way = self._at_host[region, host]
            if under_way >= self._per_host and (
                under_way >= self._per_host_that_delivers or not self._delivers(region, host)
            ):
                raise ImageHostBusy(f"{under_way} images are being fetched from one host")
            self._at_host[region, host] += 1

    def _delivers(self, region: str, host: str) -> bool:
        return monotonic() - self._delivered_at.get((region, host), -math.inf) <= DELIVERED_WITHIN_S

    def delivered(self, region: str, host: str) -> None:
        """Note that an image of this host has arrived."""
        self._delivered_at[region, host] = monotonic()

    def leave(self, region: str, host: str) -> None:
        with self._lock:
            self._at_host[region, host] -= 1
            if not self._at_host[region, host]:
                del self._at_host[region, host]
                self._delivered_at.pop((region, host), None)

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
        self._host: str | None = None
        self.size_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def enter(self, host: str) -> None:
        """Take a place at a host; another one that it had is given back. Raises ``ImageHostBusy``."""
        self.end()
        self._admissions.enter(self._region, host)
        self._host = host

    def reserve(self, size_bytes: int) -> None:
        """Take memory, at the host where a place was taken. Raises ``ImageHostBusy``."""
        self._admissions.reserve(self._region, self._host or "", size_bytes)
        self.size_bytes = size_bytes

    def delivered(self) -> None:
        """Note that the image has arrived."""
        self._admissions.delivered(self._region, self._host or "")

    def end(self) -> None:
        """Give back all of it."""
        size_bytes, self.size_bytes = self.size_bytes, 0
        host, self._host = self._host, None
        if size_bytes:
            self._admissions.give_back(self._region, host or "", size_bytes)
        if host is not None:
            self._admissions.leave(self._region, host)
