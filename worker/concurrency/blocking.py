"""Waiting and blocking calls from greenlets, without blocking the event loop.

All calls of a process are greenlets of one thread (``worker.concurrency.executor``). A function that would block that
thread runs in another, or waits cooperatively, so that the other greenlets keep running. Outside a greenlet, in a
command or a test, each function here blocks the calling thread.
"""

from __future__ import annotations

import threading
import time
from contextvars import copy_context
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

import gevent
from gevent import Greenlet, get_hub, getcurrent
from gevent.threadpool import ThreadPool

if TYPE_CHECKING:
    from collections.abc import Callable

_P = ParamSpec("_P")
_T = TypeVar("_T")

#: How often a greenlet that waits for a lock tries to acquire it.
LOOK_AGAIN_S: Final = 0.02


def in_greenlet() -> bool:
    """Whether the caller is a greenlet, so that others run in this thread while it waits."""
    return isinstance(getcurrent(), Greenlet)


def pause(seconds: float) -> None:
    """Sleep. In a greenlet, the other greenlets keep running."""
    (gevent.sleep if in_greenlet() else time.sleep)(seconds)


class BlockingPool:
    """Runs a blocking function in a thread pool so that other greenlets keep running. Outside a greenlet: directly.

    Each kind of work has its own pool, so that one kind does not wait for another: a function that hangs keeps its
    thread, also after its caller has given up.

    Parameters:
      most: the number of threads.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._here = threading.local()

    def __call__(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Return what `function` returns, and raise what it raises. Waits for a thread while all are busy."""
        if not in_greenlet():
            return function(*args, **kwargs)
        pool = getattr(self._here, "pool", None)
        if pool is None:
            pool = self._here.pool = ThreadPool(self._most, hub=get_hub())
        value: _T
        value, error = pool.apply(copy_context().run, (_tried, function, args, kwargs))
        if error is not None:
            raise error
        return value


#: The blocking pool for evidence, and for all work without its own pool.
run_blocking: Final = BlockingPool(256)


def _tried(function: Callable[..., _T], args: Any, kwargs: Any) -> tuple[_T | None, BaseException | None]:
    # gevent prints an exception of a pool thread, even if the caller catches it.
    try:
        return function(*args, **kwargs), None
    except BaseException as error:  # noqa: BLE001 - it is raised in the caller
        return None, error


class Lock:
    """A lock. A greenlet waits for it without blocking the event loop; a thread blocks.

    Not gevent's semaphore: if its holder is a thread with a hub, outside a greenlet, another thread waits for ever,
    regardless of its timeout.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def acquire(self, timeout_s: float) -> bool:
        """Return whether the lock was acquired in time."""
        if not in_greenlet():
            return self._lock.acquire(timeout=timeout_s)
        give_up_at = monotonic() + timeout_s
        while not self._lock.acquire(blocking=False):
            left_s = give_up_at - monotonic()
            if left_s <= 0:
                return False
            gevent.sleep(min(LOOK_AGAIN_S, left_s))
        return True

    def release(self) -> None:
        self._lock.release()
