"""The moment at which an exchange must be over, whatever it is doing by then."""

from __future__ import annotations

import math
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Thread
from time import monotonic
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

from gevent import Timeout

from worker.greenlets import Aside, in_greenlet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_P = ParamSpec("_P")
_T = TypeVar("_T")

#: Lookups of names that may be under way. One that hangs keeps its thread beyond the deadline.
_aside: Final = Aside(64)

#: By `time.monotonic()`; each thread and each greenlet has its own.
_ends_at: Final[ContextVar[float]] = ContextVar("ends_at")


@contextmanager
def deadline(total_s: float) -> Iterator[None]:
    """End every exchange of this thread or greenlet in the block after `total_s`; of nested ones the first counts."""
    reset = _ends_at.set(min(monotonic() + total_s, _ends_at.get(math.inf)))
    try:
        yield
    finally:
        _ends_at.reset(reset)


def time_left_s() -> float:
    """Seconds until the deadline, 0 once it has passed. Raises ``LookupError`` outside of any `deadline`."""
    return max(_ends_at.get() - monotonic(), 0.0)


def wait_for(function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Call what blocks and takes no timeout, such as a name lookup; stop waiting for it at the deadline.

    Raises ``TimeoutError``, and whatever `function` raises.
    """
    if in_greenlet():
        with Timeout(time_left_s(), TimeoutError("it takes too long")):
            return _aside(function, *args, **kwargs)
    outcome: Future[_T] = Future()

    def run() -> None:
        try:
            outcome.set_result(function(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - raised where somebody waits for it
            outcome.set_exception(error)

    Thread(target=run, name="wait-for", daemon=True).start()
    return outcome.result(time_left_s())
