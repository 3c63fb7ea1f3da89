"""Doing the same for many verifications at once, on as few threads as keep up.

A thread that waits for a vendor costs nothing, but threads that all have something to do take turns for Python's lock,
and each turn costs: with 200 threads a third of a worker's CPU went there. So what is quick shares a few threads of the
process, one batch after the other; a batch gets threads of its own while nothing comes back.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_Item = TypeVar("_Item")
_Outcome = TypeVar("_Outcome")

#: Threads for all that is quick: one that has Python's lock, and others that wait for the disk. With 2 there were as
#: many verifications a second, with 6 a tenth fewer.
FEWEST: Final = 3

#: For how long nothing may come back before a batch gets as many threads again: some ten quick calls.
GROW_EVERY_S: Final = 0.05

#: A process that used so much of a core meanwhile waits for itself: more threads would only take more turns.
BUSY_SHARE: Final = 0.6

#: A call that takes no longer is quick: there is more to do than to wait for.
QUICK_S: Final = 0.015


@dataclass(frozen=True, slots=True, order=True)
class Took:
    """What a call took, and its thread of the processor."""

    wall_s: float = float("inf")
    cpu_s: float = 0.0


class _Spent:
    """What this process does from now on."""

    def __init__(self) -> None:
        self._began_at, self._cpu_s = time.monotonic(), time.process_time()

    @property
    def saturated(self) -> bool:
        """Whether it has kept a core so busy since that more threads would not help."""
        used_s = time.process_time() - self._cpu_s
        return used_s >= BUSY_SHARE * (time.monotonic() - self._began_at)


class Calls:
    """The threads of a process, shared by its batches; it learns how many each kind of work needs."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._threads = ThreadPoolExecutor(most, thread_name_prefix="call")
        self._shared = ThreadPoolExecutor(FEWEST, thread_name_prefix="quick-call")
        self._needed: dict[str, int] = {}
        self._came_back_at = 0.0
        self._lock = threading.Lock()
        self._busy = 0

    def begin(
        self, kind: str, each: Callable[[_Item], _Outcome], items: Sequence[_Item]
    ) -> Work[_Item, _Outcome]:
        """Begin to do `each` of `items`. Work of the same `kind` is expected to take about as long as before."""
        work = Work(self, kind, each, items)
        work.add_threads(self._needed.get(kind, FEWEST))
        return work

    @property
    def all_quick(self) -> bool:
        """Whether the shared threads have sufficed of late: there was more to do than to wait for."""
        return max(self._needed.values(), default=FEWEST) <= FEWEST

    @property
    def stuck(self) -> bool:
        """Whether the shared threads are held up, by work of whatever kind."""
        return time.monotonic() - self._came_back_at >= GROW_EVERY_S

    def came_back(self) -> None:
        """Something did, on a shared thread."""
        self._came_back_at = time.monotonic()

    def start(self, run: Callable[[bool], None], threads: int, *, shared: bool) -> None:
        pool = self._shared if shared else self._threads
        for _ in range(threads):
            pool.submit(run, shared)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """A thread has something to do while the block runs."""
        with self._lock:
            self._busy += 1
        try:
            yield
        finally:
            with self._lock:
                self._busy -= 1

    def learn(self, kind: str, threads: int, quickest: Took, *, saturated: bool = False) -> None:
        """How many threads some work has had in the end, and what the quickest of its calls took.

        No longer than what half of the busy threads need together is no sign of a slow vendor: they took turns. And
        where the process was saturated, more threads would only have taken more of them.
        """
        # Its own have ended by now.
        busy = max(self._busy, threads)
        quick = quickest.wall_s < max(QUICK_S, quickest.cpu_s * busy / 2)
        if quick:
            self._needed[kind] = max(FEWEST, threads // 2)
        else:
            self._needed[kind] = max(FEWEST, threads if saturated else min(2 * threads, self._most))


class Work(Generic[_Item, _Outcome]):
    """The work on one batch. Only the thread that began it may use this; the others only run it."""

    def __init__(
        self, calls: Calls, kind: str, each: Callable[[_Item], _Outcome], items: Sequence[_Item]
    ) -> None:
        self._calls = calls
        self._kind = kind
        self._spent = _Spent()
        self._each = each
        items = list(items)
        # The operations of a deque that are used here are atomic.
        self._left = deque(items)
        self._done: deque[tuple[_Item, _Outcome]] = deque()
        self._failed: deque[BaseException] = deque()
        self._pending = {id(item): item for item in items}
        self._news = threading.Event()
        self._ended = threading.Event()
        self._running = 0
        self._quickest = Took()

    @property
    def pending(self) -> list[_Item]:
        """What has no outcome that was handed out."""
        return list(self._pending.values())

    def add_threads(self, threads: int) -> None:
        threads = min(threads, len(self._left))
        # The first few, where no more are expected to be needed.
        shared = not self._running and threads <= FEWEST
        self._running += threads
        self._calls.start(self._run, threads, shared=shared)

    def outcomes(self, *, timeout_s: float, gather_s: Callable[[], float]) -> list[tuple[_Item, _Outcome]]:
        """What came back, at least one unless `timeout_s` passes; then others may join it for `gather_s`.

        Raises what `each` raised.
        """
        give_up_at = time.monotonic() + timeout_s
        spent = _Spent()
        while not self._news.wait(min(GROW_EVERY_S, timeout_s) if self._left else timeout_s):
            # One whose turn has not come need not be slow.
            begun = len(self._left) < len(self._pending)
            if self._calls.stuck or (begun and not spent.saturated):
                self.add_threads(self._running)
            if time.monotonic() >= give_up_at:
                return []
            spent = _Spent()
        self._ended.wait(gather_s())
        self._news.clear()
        if self._failed:
            raise self._failed[0]
        found = []
        while self._done:
            found.append(self._done.popleft())
            del self._pending[id(found[-1][0])]
        if not self._pending:
            self._calls.learn(self._kind, self._running, self._quickest, saturated=self._spent.saturated)
        return found

    def take_back(self) -> list[_Item]:
        """What has not begun, and now will not."""
        taken = []
        while self._left:
            try:
                taken.append(self._left.pop())
            except IndexError:
                break
        for item in taken:
            del self._pending[id(item)]
        return taken

    def _run(self, shared: bool) -> None:  # noqa: FBT001 - for `submit`
        with self._calls.busy():
            while True:
                try:
                    item = self._left.popleft()
                except IndexError:
                    return
                began_at, cpu_s = time.monotonic(), time.thread_time()
                try:
                    self._done.append((item, self._each(item)))
                except BaseException as error:  # noqa: BLE001 - it is raised where the outcomes are awaited
                    self._failed.append(error)
                took = Took(time.monotonic() - began_at, time.thread_time() - cpu_s)
                self._quickest = min(self._quickest, took)
                if shared:
                    self._calls.came_back()
                if len(self._done) + len(self._failed) >= len(self._pending):
                    self._ended.set()
                self._news.set()
