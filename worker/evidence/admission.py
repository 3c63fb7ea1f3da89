"""What the images that are being fetched may take of a process: bytes of its memory, and calls to one host.

Both are shared by regions (``Shares``). An image holds its bytes from before its body is read until it is stored, and
waits for no second image meanwhile, so that no two can wait for each other.
"""

from __future__ import annotations

from collections import Counter, deque
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Final

from gevent.event import Event

from worker.errors import ImageHostBusy, ImageUnavailable
from worker.greenlets import in_greenlet
from worker.load import Shares
from worker.transport import MIB, time_left_s

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: For the bodies of images that one process holds. They may take twice that where a client library copies them, so that
#: a worker stays below 1 GB with the 220 MB that it takes otherwise; the manifests in deploy/ allow it 2 GB. With six
#: regions each has 32 MiB for itself, in which the largest image fits.
TOTAL_BYTES: Final = 384 * MIB

#: Fetches of one region from one host at a time: half of what a process archives at a time, so that a host that hangs
#: leaves places to the other hosts of its region.
PER_HOST: Final = 128


class Admissions:
    """Admits images of all regions; safe to share between threads.

    Parameters:
        total_bytes: for the bodies of all; the part of each region must have room for the largest image.
        per_host: fetches of one region from one host.
    """

    def __init__(
        self, regions: Sequence[str] = (), *, total_bytes: int = TOTAL_BYTES, per_host: int = PER_HOST
    ) -> None:
        self._per_host = per_host
        self._lock = Lock()
        self._bytes = Shares(total_bytes, regions)
        self._waiting: dict[str, deque[tuple[int, Event]]] = {}
        self._at_host: Counter[tuple[str, str]] = Counter()

    @contextmanager
    def one(self, region: str) -> Iterator[Admission]:
        """Room for one image: what it takes is given back at the end of the block."""
        admission = Admission(self, region)
        try:
            yield admission
        finally:
            admission.end()

    def enter(self, region: str, host: str) -> None:
        """Raises ``ImageHostBusy``."""
        with self._lock:
            if self._at_host[region, host] >= self._per_host:
                raise ImageHostBusy(f"{self._per_host} images are being fetched from one host")
            self._at_host[region, host] += 1

    def leave(self, region: str, host: str) -> None:
        with self._lock:
            self._at_host[region, host] -= 1
            if not self._at_host[region, host]:
                del self._at_host[region, host]

    def reserve(self, region: str, size_bytes: int) -> None:
        """Wait for memory, within the caller's `deadline`. Raises ``ImageUnavailable`` where there is none in time."""
        with self._lock:
            waiting = self._waiting.setdefault(region, deque())
            # A plain thread, of a command or a test, is alone: it takes what it needs.
            if not in_greenlet() or (not waiting and size_bytes <= self._bytes.free(region)):
                self._bytes.take(region, size_bytes)
                return
            turn = (size_bytes, Event())
            waiting.append(turn)
        in_time = False
        try:
            in_time = turn[1].wait(time_left_s())
        finally:
            if not in_time:
                self._renounce(region, turn)
        if not in_time:
            raise ImageUnavailable("an image did not arrive: no memory was free for it in time")

    def give_back(self, region: str, size_bytes: int) -> None:
        with self._lock:
            self._bytes.give(region, size_bytes)
            self._hand_out()

    def _renounce(self, region: str, turn: tuple[int, Event]) -> None:
        """Wait no longer; what has been handed out meanwhile is given back."""
        with self._lock:
            if turn in self._waiting[region]:
                self._waiting[region].remove(turn)
            else:
                self._bytes.give(region, turn[0])
            self._hand_out()

    def _hand_out(self) -> None:
        for region, waiting in self._waiting.items():
            while waiting and waiting[0][0] <= self._bytes.free(region):
                size_bytes, admitted = waiting.popleft()
                self._bytes.take(region, size_bytes)
                admitted.set()


class Admission:
    """What one image has taken."""

    def __init__(self, admissions: Admissions, region: str) -> None:
        self._admissions = admissions
        self._region = region
        self._host: str | None = None
        self._size_bytes = 0

    def enter(self, host: str) -> None:
        """Take a place at a host; another one that it had is given back. Raises ``ImageHostBusy``."""
        self.end()
        self._admissions.enter(self._region, host)
        self._host = host

    def reserve(self, size_bytes: int) -> None:
        """Take memory. Raises ``ImageUnavailable``."""
        self._admissions.reserve(self._region, size_bytes)
        self._size_bytes = size_bytes

    def end(self) -> None:
        """Give back all of it."""
        size_bytes, self._size_bytes = self._size_bytes, 0
        host, self._host = self._host, None
        if size_bytes:
            self._admissions.give_back(self._region, size_bytes)
        if host is not None:
            self._admissions.leave(self._region, host)
