"""The deadline of an exchange, which holds in all its phases."""

from __future__ import annotations

import math
from contextvars import ContextVar
from time import monotonic
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from contextvars import Token

#: In terms of `time.monotonic()`; each thread and each greenlet has its own.
_ends_at: Final[ContextVar[float]] = ContextVar("ends_at")


class deadline:  # noqa: N801 - used as `contextlib.suppress` is
    """Ends each exchange of this thread or greenlet in the block after `total_s`. Nested: the earliest one counts."""

    __slots__ = ("_reset", "_total_s")

    def __init__(self, total_s: float) -> None:
        self._total_s = total_s
        self._reset: Token[float] | None = None

    def __enter__(self) -> None:
        self._reset = _ends_at.set(min(monotonic() + self._total_s, _ends_at.get(math.inf)))

    def __exit__(self, *_: object) -> None:
        if self._reset is not None:
            _ends_at.reset(self._reset)


def time_left_s() -> float:
    """Return the seconds until the deadline, 0 after it. Raises ``LookupError`` outside of any `deadline`."""
    return max(_ends_at.get() - monotonic(), 0.0)
