"""Doing the same for many verifications at once, on as few threads as keep up.

A thread that waits for a vendor costs nothing, but threads that all have something to do take turns for Python's lock,
and each turn costs. So the work of a batch begins on a few threads, and gets more while nothing comes back.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_Item = TypeVar("_Item")
_Outcome = TypeVar("_Outcome")

#: Threads that a batch begins with, and never has fewer.
FEWEST: Final = 4

#: For how long nothing may come back before a batch gets as many threads again: some ten quick calls.
GROW_EVERY_S: Final = 0.02

#: A call that takes no longer is quick: there is more to do than to wait for.
QUICK_S: Final = 0.01


class Calls:
    """The threads of a process, shared by its batches; it learns how many each kind of work needs."""

    def __init__(self, most: int) -> None:
        self._threads = ThreadPoolExecutor(most, thread_name_prefix="call")
        self._needed: dict[str, int] = {}

    def begin(
        self, kind: str, each: Callable[[_Item], _Outcome], items: Sequence[_Item]
    ) -> Work[_Item, _Outcome]:
        """Begin to do `each` of `items`. Work of the same `kind` is expected to take about as long as before."""
        work = Work(self, kind, each, items)
        work.add_threads(self._needed.get(kind, FEWEST))
        return work

    def start(self, run: Callable[[], None], threads: int) -> None:
        for _ in range(threads):
            self._threads.submit(run)

    def learn(self, kind: str, threads: int, quickest_s: float) -> None:
        """How many threads some work has had in the end, and how long the quickest of its calls took."""
        needed = self._needed.get(kind, FEWEST)
        self._needed[kind] = max(FEWEST, needed // 2) if quickest_s < QUICK_S else max(needed, threads)


class Work(Generic[_Item, _Outcome]):
    """The work on one batch. Only the thread that began it may use this; the others only run it."""

    def __init__(
        self, calls: Calls, kind: str, each: Callable[[_Item], _Outcome], items: Sequence[_Item]
    ) -> None:
        self._calls = calls
        self._kind = kind
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
        self._quickest_s = float("inf")

    @property
    def pending(self) -> list[_Item]:
        """What has no outcome that was handed out."""
        return list(self._pending.values())

    def add_threads(self, threads: int) -> None:
        threads = min(threads, len(self._left))
        self._running += threads
        self._calls.start(self._run, threads)

    def outcomes(self, *, timeout_s: float, gather_s: Callable[[], float]) -> list[tuple[_Item, _Outcome]]:
        """What came back, at least one unless `timeout_s` passes; then others may join it for `gather_s`.

        Raises what `each` raised.
        """
        give_up_at = time.monotonic() + timeout_s
        while not self._news.wait(min(GROW_EVERY_S, timeout_s) if self._left else timeout_s):
            if time.monotonic() >= give_up_at:
                return []
            self.add_threads(self._running)
        self._ended.wait(gather_s())
        self._news.clear()
        if self._failed:
            raise self._failed[0]
        found = []
        while self._done:
            found.append(self._done.popleft())
            del self._pending[id(found[-1][0])]
        if not self._pending:
            self._calls.learn(self._kind, self._running, self._quickest_s)
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

    def _run(self) -> None:
        while True:
            try:
                item = self._left.popleft()
            except IndexError:
                return
            began_at = time.monotonic()
            try:
                self._done.append((item, self._each(item)))
            except BaseException as error:  # noqa: BLE001 - it is raised where the outcomes are awaited
                self._failed.append(error)
            self._quickest_s = min(self._quickest_s, time.monotonic() - began_at)
            if len(self._done) + len(self._failed) >= len(self._pending):
                self._ended.set()
            self._news.set()
