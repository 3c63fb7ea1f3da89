"""Waiting that holds up nobody else.

All calls of a process are greenlets of one thread (``worker.calls``), so what would block the thread must let the
others go on meanwhile. Each function here may also be called outside of a greenlet, by a command or a test: there the
thread waits, as it would without.
"""

from __future__ import annotations

import select
from contextvars import copy_context
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

from gevent import Greenlet, get_hub, getcurrent
from gevent.event import AsyncResult
from gevent.socket import wait_read, wait_write

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

_P = ParamSpec("_P")
_T = TypeVar("_T")

#: A thread that may wait for something is kept for each call that may be under way.
ASIDE: Final = 256


def in_greenlet() -> bool:
    """Whether others run in this thread while we wait."""
    return isinstance(getcurrent(), Greenlet)


def await_socket(sock: socket.socket, *, to_write: bool, timeout_s: float) -> None:
    """Return once a socket that does not block can be read, or written. Raises ``TimeoutError``."""
    if in_greenlet():
        wait = wait_write if to_write else wait_read
        wait(sock.fileno(), timeout=timeout_s, timeout_exc=TimeoutError("timed out"))
        return
    poll = select.poll()
    poll.register(sock, select.POLLOUT if to_write else select.POLLIN)
    if not poll.poll(timeout_s * 1000):
        raise TimeoutError("timed out")


def aside(function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Call what blocks, on a thread of its own. Raises what it raises."""
    if not in_greenlet():
        return function(*args, **kwargs)
    hub = get_hub()
    hub.threadpool_size = ASIDE  # heeded when its pool is made
    outcome: _T = hub.threadpool.apply(copy_context().run, (function, *args), kwargs)
    return outcome


class Shared:
    """What serves all who asked for it before it began, done once for them. Of one thread's greenlets.

    Parameters:
      function: it may block.
    """

    def __init__(self, function: Callable[[], None]) -> None:
        self._function = function
        self._gathering: AsyncResult | None = None
        self._newest: AsyncResult | None = None

    def __call__(self) -> None:
        """Return once it has been done, begun after this call. Raises what it raises, for each who waited."""
        if not in_greenlet():
            self._function()
            return
        if self._gathering:
            self._gathering.get()
            return
        before, ours = self._newest, AsyncResult()
        self._newest = self._gathering = ours
        if before:
            before.wait()
        self._gathering = None  # who comes from here on may be too late for this one
        try:
            aside(self._function)
        except Exception as error:
            ours.set_exception(error)
            raise
        ours.set(None)
