"""Waiting and blocking calls from greenlets, without blocking the event loop.

All calls of a process are greenlets of one thread (``worker.concurrency.executor``). What would block that thread
runs elsewhere, or waits cooperatively, so that the other greenlets keep running. Outside a greenlet, in a command or a
test, each function here blocks the calling thread.
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

#: How often a greenlet looks whether a lock is free.
LOOK_AGAIN_S: Final = 0.02


def in_greenlet() -> bool:
    """Whether others run in this thread while we wait."""
    return isinstance(getcurrent(), Greenlet)


def pause(seconds: float) -> None:
    """Sleep. In a greenlet the others keep running."""
    (gevent.sleep if in_greenlet() else time.sleep)(seconds)


class Aside:
    """Calls what blocks on threads aside, for greenlets; who is none has a thread to block already.

    One for each kind of work, so that none waits for another's: what hangs keeps its thread, also where nobody waits
    for it any more.

    Parameters:
      most: threads.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._here = threading.local()

    def __call__(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Raises what `function` raises. Waits for a thread where all have something to do."""
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


#: For evidence, and whatever else has no threads of its own.
run_blocking: Final = Aside(256)


def _tried(function: Callable[..., _T], args: Any, kwargs: Any) -> tuple[_T | None, BaseException | None]:
    # What is raised on a thread of its pool, gevent would print with its text, also where it is caught.
    try:
        return function(*args, **kwargs), None
    except BaseException as error:  # noqa: BLE001 - raised where somebody waits for it
        return None, error


class Lock:
    """A lock that greenlets wait for without holding up others, and threads as ever."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def acquire(self, timeout_s: float) -> bool:
        """Whether it could be had in time."""
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
