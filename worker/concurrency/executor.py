"""Concurrent calls: the same function for many verifications at once.

Each call is a greenlet, and all of them run in one thread of the process. While one waits for the vendor, an image or
the disk, the others keep running, and no threads compete for Python's lock: with a thread for each call that took a
third of a worker's CPU. Python is not patched: only functions of ``worker.concurrency.blocking`` wait cooperatively.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import gevent

from worker.concurrency.shares import Shares

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_Item = TypeVar("_Item")
_Outcome = TypeVar("_Outcome")


def _nothing() -> None:
    pass


class EventLoop:
    """The one in which calls run. It begins with the first of them, and lives for as long as the process does."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wake: Any = None
        # What it has not come to yet, and when it was asked for.
        self._asked: deque[tuple[float, Callable[[], None]]] = deque()
        self._ident: int | None = None
        #: Nothing that it has in flight makes progress. Set by the watchdog.
        self.is_stuck = False

    def begin(self) -> None:
        """Do nothing where it has begun. Raises what keeps it from that."""
        with self._lock:
            if self._wake is None:
                started: Future[Any] = Future()
                threading.Thread(target=self._live, args=(started,), name="calls", daemon=True).start()
                self._wake = started.result()

    def soon(self, function: Callable[[], None]) -> None:
        """Call what does not wait, in this thread. Returns at once."""
        self._asked.append((time.monotonic(), function))
        self._wake.send()  # of all that a loop has, this alone may be used from other threads

    def oldest_request(self) -> tuple[float, object] | None:
        """The oldest request that it has not come to, and when it was made; makes one where there is none.

        None: the thread has not begun, or came to its last request just now.
        """
        if self._wake is None:
            return None
        if self._asked:
            self._wake.send()  # in case that something went wrong when it came to what is before
        else:
            self.soon(_nothing)
        with suppress(IndexError):
            return self._asked[0]
        return None

    def late_s(self) -> float:
        """How long it has not come to its oldest request."""
        oldest = self.oldest_request()
        return time.monotonic() - oldest[0] if oldest else 0.0

    def position(self) -> tuple[str, object]:
        """Where in the code the thread is now, as `file:line`, and the item whose work this is; None: no item's."""
        frame = sys._current_frames().get(self._ident or 0)  # noqa: SLF001 - public but for its name
        at = f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame else ""
        while frame is not None and frame.f_code is not BatchRun.do.__code__:
            frame = frame.f_back
        return at, frame.f_locals["item"] if frame else None

    def _live(self, started: Future[Any]) -> None:
        self._ident = threading.get_ident()
        try:
            hub = gevent.get_hub()
            wake = hub.loop.async_()
            wake.start(self._come_to)
        except BaseException as error:  # noqa: BLE001 - it is raised where the outcomes are awaited
            started.set_exception(error)
            return
        started.set_result(wake)
        hub.switch()

    def _come_to(self) -> None:
        while self._asked:
            try:
                self._asked[0][1]()
            finally:
                self._asked.popleft()


class Executor:
    """The greenlets for one kind of work: at most `most` for one region, and some for the others beside them.

    Regions take turns; of a region the oldest batch comes first. See ``Shares``.
    """

    def __init__(self, most: int, thread: EventLoop, regions: Sequence[str] = ()) -> None:
        self._thread = thread
        self._shares = Shares.beside(most, regions)
        self._works: dict[str, deque[BatchRun[Any, Any]]] = {}

    def begin(
        self, each: Callable[[_Item], _Outcome], items: Sequence[_Item], region: str = ""
    ) -> BatchRun[_Item, _Outcome]:
        """Begin to do `each` of `items`, behind what was begun of the region before."""
        self._thread.begin()
        work = BatchRun(each, items)
        self._thread.soon(partial(self._add, region, work))
        return work

    # All below is done in that thread.

    def _add(self, region: str, work: BatchRun[Any, Any]) -> None:
        self._works.setdefault(region, deque()).append(work)
        while begun := self._next():
            gevent.spawn(self._run, *begun)

    def _run(self, region: str, work: BatchRun[Any, Any], item: object) -> None:
        while True:
            work.do(item)
            self._shares.give(region)
            begun = self._next()
            if begun is None:
                return
            region, work, item = begun

    def _next(self) -> tuple[str, BatchRun[Any, Any], object] | None:
        """Take a place for the region whose turn it is, and what is to be done there. None: no region has both."""
        for region in tuple(self._works):
            if self._shares.free(region) <= 0:
                continue
            works = self._works.pop(region)
            while works:
                work = works[0]
                try:
                    item = work.left.popleft()
                except IndexError:
                    works.popleft()
                    continue
                self._works[region] = works  # the last in turn from now on
                self._shares.take(region)
                return region, work, item
        return None


class BatchRun(Generic[_Item, _Outcome]):
    """The work on one batch. Only the thread that began it may use this; the greenlets only run it."""

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
        """On a greenlet."""
        try:
            self._done.append((item, self._each(item)))
        except BaseException as error:  # noqa: BLE001 - it is raised where the outcomes are awaited
            self._failed.append(error)
        if len(self._done) + len(self._failed) >= len(self._pending):
            self._ended.set()
        self._news.set()
