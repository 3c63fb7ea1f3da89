"""Doing the same for many verifications at once, on as few threads as keep up.

A thread that waits for a vendor costs nothing, but threads that all have something to do take turns for Python's lock,
and each turn costs: with 200 threads a third of a worker's CPU went there. So all batches of a process share its
threads, the oldest batch first. They become more while there is something to do and the process mostly waits, fewer
while it is busy, and a call that takes long never holds up the ones behind it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_Item = TypeVar("_Item")
_Outcome = TypeVar("_Outcome")

#: Threads that are there for what begins, however many wait: one that has Python's lock, and others that wait for the
#: disk. With 2 there were as many verifications a second, with 6 a tenth fewer.
FEWEST: Final = 3

#: A call that takes longer waits: its thread is not counted any more. Some ten quick calls.
WAITS_S: Final = 0.05

#: How often the number of threads is thought over while something is left to begin.
LOOK_EVERY_S: Final = 0.02

#: By how much they grow and shrink at a time: from 3 to 64 in 0.2 s.
GROW: Final = 1.5
SHRINK: Final = 0.9

#: A process that uses more of a core is busy: it has enough threads.
BUSY_SHARE: Final = 0.6

#: So has one whose threads wait longer for Python's lock or for a core: with more they would wait for longer still.
LATE_S: Final = 0.004

#: The share of the newest look in what is thought of the process: ten looks make nine tenths of it.
_NEWEST: Final = 0.2


class Calls:
    """The threads of a process, shared by its batches: at most `most`."""

    def __init__(self, most: int) -> None:
        self._most = most
        # One more looks after them.
        self._executor = ThreadPoolExecutor(most + 1, thread_name_prefix="call")
        self._lock = threading.Lock()
        self._works: deque[Work[Any, Any]] = deque()
        self._running = 0
        self._allowed = FEWEST
        self._began_at: dict[int, float] = {}
        self._strain = Strain()
        self._looked_after = False

    def begin(self, each: Callable[[_Item], _Outcome], items: Sequence[_Item]) -> Work[_Item, _Outcome]:
        """Begin to do `each` of `items`, behind what was begun before."""
        work = Work(each, items)
        with self._lock:
            self._works.append(work)
            self._fill_up()
            if not self._looked_after:
                self._looked_after = True
                self._executor.submit(self._look_after)
        return work

    @property
    def waiting(self) -> int:
        """How many calls have taken so long that they must be waiting for somebody."""
        with self._lock:
            return self._waiting()

    def _waiting(self) -> int:
        since = time.monotonic() - WAITS_S
        return sum(began_at < since for began_at in self._began_at.values())

    def _fill_up(self) -> None:
        """As many threads as there may be, or as there is something to do for."""
        self._allowed = min(max(int(self._strain.threads), self._waiting() + FEWEST), self._most)
        left = sum(len(work.left) for work in self._works)
        for _ in range(min(self._allowed - self._running, left)):
            self._running += 1
            self._executor.submit(self._run)

    def _look_after(self) -> None:
        self._strain.begin()
        while True:
            time.sleep(LOOK_EVERY_S)
            with self._lock:
                while self._works and not self._works[0].left:
                    self._works.popleft()
                if not self._works:
                    self._looked_after = False
                    return
                self._strain.look(self._running, self._most)
                self._fill_up()

    def _run(self) -> None:
        me = threading.get_ident()
        while begun := self._next(me):
            work, item = begun
            work.do(item)

    def _next(self, me: int) -> tuple[Work[Any, Any], object] | None:
        with self._lock:
            while self._works and self._running <= self._allowed:
                try:
                    item = self._works[0].left.popleft()
                except IndexError:
                    self._works.popleft()
                    continue
                self._began_at[me] = time.monotonic()
                return self._works[0], item
            self._running -= 1
            self._began_at.pop(me, None)
            return None


class Strain:
    """How many threads a process makes use of: what it was seen to do with those it had."""

    def __init__(self) -> None:
        self.threads = float(FEWEST)
        self._share = self._late_s = 0.0
        self.begin()

    def begin(self) -> None:
        """Look from now on."""
        self._looked_at, self._cpu_s = time.monotonic(), time.process_time()

    def look(self, running: int, most: int) -> None:
        """It is `LOOK_EVERY_S` since the last look, or later by what a thread has to wait."""
        before_at, before_s = self._looked_at, self._cpu_s
        self.begin()
        past_s = self._looked_at - before_at
        self._share += _NEWEST * ((self._cpu_s - before_s) / past_s - self._share)
        self._late_s += _NEWEST * (past_s - LOOK_EVERY_S - self._late_s)
        if self._share >= BUSY_SHARE or self._late_s >= LATE_S:
            self.threads = max(FEWEST, self.threads * SHRINK)
        elif running >= int(self.threads):
            self.threads = min(most, self.threads * GROW)


class Work(Generic[_Item, _Outcome]):
    """The work on one batch. Only the thread that began it may use this; the others only run it."""

    def __init__(self, each: Callable[[_Item], _Outcome], items: Sequence[_Item]) -> None:
        self._each = each
        items = list(items)
        # The operations of a deque that are used here are atomic.
        self.left = deque(items)
        self._done: deque[tuple[_Item, _Outcome]] = deque()
        self._failed: deque[BaseException] = deque()
        self._pending = {id(item): item for item in items}
        self._news = threading.Event()
        self._ended = threading.Event()

    @property
    def pending(self) -> list[_Item]:
        """What has no outcome that was handed out."""
        return list(self._pending.values())

    def outcomes(self, *, timeout_s: float, gather_s: Callable[[], float]) -> list[tuple[_Item, _Outcome]]:
        """What came back, at least one unless `timeout_s` passes; then others may join it for `gather_s`.

        Raises what `each` raised.
        """
        if not self._news.wait(timeout_s):
            return []
        self._ended.wait(gather_s())
        self._news.clear()
        if self._failed:
            raise self._failed[0]
        found = []
        while self._done:
            found.append(self._done.popleft())
            del self._pending[id(found[-1][0])]
        return found

    def take_back(self) -> list[_Item]:
        """What has not begun, and now will not."""
        taken = []
        while self.left:
            try:
                taken.append(self.left.pop())
            except IndexError:
                break
        for item in taken:
            del self._pending[id(item)]
        return taken

    def do(self, item: _Item) -> None:
        """On a thread of the process."""
        try:
            self._done.append((item, self._each(item)))
        except BaseException as error:  # noqa: BLE001 - it is raised where the outcomes are awaited
            self._failed.append(error)
        if len(self._done) + len(self._failed) >= len(self._pending):
            self._ended.set()
        self._news.set()
