"""The deadline of an exchange, which holds in all its phases."""

from __future__ import annotations

import math
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

#: In terms of `time.monotonic()`; each thread and each greenlet has its own.
_ends_at: Final[ContextVar[float]] = ContextVar("ends_at")


@contextmanager
def deadline(total_s: float) -> Iterator[None]:
    """End each exchange of this thread or greenlet in the block after `total_s`. Nested: the earliest one counts."""
    reset = _ends_at.set(min(monotonic() + total_s, _ends_at.get(math.inf)))
    try:
        yield
    finally:
        _ends_at.reset(reset)


def time_left_s() -> float:
    """Return the seconds until the deadline, 0 after it. Raises ``LookupError`` outside of any `deadline`."""
    return max(_ends_at.get() - monotonic(), 0.0)
