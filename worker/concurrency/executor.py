"""Concurrent calls: the same function for many verifications at once.

Each call is a greenlet, and all of them run in one thread of the process, the event loop. While one call waits for the
vendor, an image or the disk, the others keep running, and no threads compete for Python's lock: with a thread for each
call, that took a third of a worker's CPU. Python is not monkey-patched: only functions of
``worker.concurrency.blocking`` wait cooperatively.

Which thread runs what: a Celery pool thread calls `Executor.begin` and the methods of `BatchRun`, and may block. Code
marked "in the event loop" runs there and may not block.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
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
    """The thread in which calls run. It starts with the first call, and lives as long as the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wake: Any = None
        # Functions that were not called yet, each with the time of its request.
        self._requests: deque[tuple[float, Callable[[], None]]] = deque()
        self._ident: int | None = None
        #: No call makes progress. Set by the watchdog.
        self.is_stuck = False

    def begin(self) -> None:
        """Start the thread, unless it runs already. Raises the error of the start."""
        with self._lock:
            if self._wake is None:
                started: Future[Any] = Future()
                threading.Thread(target=self._live, args=(started,), name="event-loop", daemon=True).start()
                self._wake = started.result()

    def soon(self, function: Callable[[], None]) -> None:
        """Call a function that does not block, in the event loop. Returns at once."""
        self._requests.append((time.monotonic(), function))
        # Not gevent's `run_callback_threadsafe`: it counts references to the loop while libev, which runs without
        # Python's lock, counts them too, and a lost one ends the loop (docs/adr/0010-greenlets.md).
        self._wake.send()

    def oldest_request(self) -> tuple[float, object] | None:
        """Return the oldest unanswered request with its time; makes a request if there is none.

        None: the thread has not started, or has just answered its last request.
        """
        if self._wake is None:
            return None
        if not self._requests:
            self.soon(_nothing)
        with suppress(IndexError):
            return self._requests[0]
        return None

    def late_s(self) -> float:
        """Return the age of the oldest unanswered request, in seconds."""
        oldest = self.oldest_request()
        return time.monotonic() - oldest[0] if oldest else 0.0

    def position(self) -> tuple[str, object]:
        """Return the current position of the thread, as `file:line`, and the item that it works on, or None."""
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
            wake.start(self._answer)
        except BaseException as error:  # noqa: BLE001 - it is raised in `begin`
            started.set_exception(error)
            return
        started.set_result(wake)
        hub.switch()

    def _answer(self) -> None:
        """In the event loop: call what was requested."""
        while self._requests:
            try:
                self._requests[0][1]()
            except BaseException:  # noqa: BLE001 - a failed request must not stop the next
                gevent.get_hub().handle_error(self, *sys.exc_info())
            finally:
                self._requests.popleft()


class Executor:
    """Runs one kind of call: at most `most` at once for one region, plus the reserved places of the other regions.

    Regions take turns; within a region the oldest batch comes first. See ``Shares``: each region's part is reserved
    while others are busy, which neither a common semaphore nor one for each region can do.
    """

    def __init__(self, most: int, event_loop: EventLoop, regions: Sequence[str] = ()) -> None:
        self._event_loop = event_loop
        self._shares = Shares.beside(most, regions)
        self._runs: dict[str, deque[BatchRun[Any, Any]]] = {}

    def begin(
        self, each: Callable[[_Item], _Outcome], items: Sequence[_Item], region: str = ""
    ) -> BatchRun[_Item, _Outcome]:
        """Call `each` for each of `items`, after the earlier batches of the region. Returns at once."""
        self._event_loop.begin()
        run = BatchRun(each, items)
        self._event_loop.soon(partial(self._add, region, run))
        return run

    # All methods below run in the event loop.

    def _add(self, region: str, run: BatchRun[Any, Any]) -> None:
        self._runs.setdefault(region, deque()).append(run)
        while begun := self._next():
            gevent.spawn(self._run, *begun)

    def _run(self, region: str, run: BatchRun[Any, Any], item: object) -> None:
        while True:
            run.do(item)
            self._shares.give(region)
            begun = self._next()
            if begun is None:
                return
            region, run, item = begun

    def _next(self) -> tuple[str, BatchRun[Any, Any], object] | None:
        """Take a place and an item for the next region in turn. None: no region has both."""
        for region in tuple(self._runs):
            if self._shares.free(region) <= 0:
                continue
            runs = self._runs.pop(region)
            while runs:
                run = runs[0]
                try:
                    item = run.left.popleft()
                except IndexError:
                    runs.popleft()
                    continue
                self._runs[region] = runs  # at the end of the turn order
                self._shares.take(region)
                return region, run, item
        return None


class BatchRun(Generic[_Item, _Outcome]):
    """The calls for one batch. Only the thread that began it may use its methods, except `do`."""

    def __init__(self, each: Callable[[_Item], _Outcome], items: Sequence[_Item]) -> None:
        self._each = each
        items = list(items)
        # The operations of a deque that are used here are atomic.
        self.left = deque(items)
        self._pending = {id(item): item for item in items}
        self._returned: SimpleQueue[tuple[_Item, _Outcome] | BaseException] = SimpleQueue()
        # Calls that have returned, counted in the event loop, and calls expected to return.
        self._returns, self._expected = 0, len(items)
        self._ended = threading.Event()

    @property
    def pending(self) -> list[_Item]:
        """The items whose outcomes `outcomes` has not returned yet."""
        return list(self._pending.values())

    def outcomes(self, *, timeout_s: float, gather_s: Callable[[], float]) -> list[tuple[_Item, _Outcome]]:
        """Wait up to `timeout_s` for an outcome, then gather more for `gather_s`. Returns [] after the timeout.

        Raises what `each` raised.
        """
        with suppress(Empty):
            returned = [self._returned.get(timeout=timeout_s)]
            # One wait for all outcomes: every wake-up of this thread takes Python's lock from the calls.
            self._ended.wait(gather_s())
            returned += [self._returned.get_nowait() for _ in range(self._returned.qsize())]
            return [self._settled(each) for each in returned]
        return []

    def take_back(self) -> list[_Item]:
        """Withdraw the items that have not begun, and return them."""
        taken = []
        while self.left:
            try:
                taken.append(self.left.pop())
            except IndexError:
                break
        self._expected -= len(taken)
        for item in taken:
            del self._pending[id(item)]
        return taken

    def _settled(self, returned: tuple[_Item, _Outcome] | BaseException) -> tuple[_Item, _Outcome]:
        if isinstance(returned, BaseException):
            raise returned
        del self._pending[id(returned[0])]
        return returned

    def do(self, item: _Item) -> None:
        """In the event loop: call `each` with one item."""
        try:
            self._returned.put((item, self._each(item)))
        except BaseException as error:  # noqa: BLE001 - it is raised in `outcomes`
            self._returned.put(error)
        self._returns += 1
        if self._returns >= self._expected:
            self._ended.set()
