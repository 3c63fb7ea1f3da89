"""The moment at which an exchange must be over, whatever it is doing by then."""

from __future__ import annotations

import math
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

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
