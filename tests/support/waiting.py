"""Waits for a condition instead of sleeping."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

#: How long a test waits for a condition. Far longer than necessary, because no test measures speed.
PATIENCE_S: Final = 60.0

#: The shortest and the longest pause between two looks.
_PAUSES_S: Final = (0.02, 0.25)

#: A pause as a part of what was waited so far: a look may cost milliseconds, and other tests need the processor.
_PART: Final = 0.05


def until(true: Callable[[], Any], what: str = "a condition", patience_s: float = PATIENCE_S) -> Any:
    """Wait until `true` returns a true value, and return it. Fails with `what` after `patience_s` seconds."""
    began = time.monotonic()
    shortest_s, longest_s = _PAUSES_S
    while not (found := true()):
        waited_s = time.monotonic() - began
        assert waited_s < patience_s, f"not true after {patience_s:.0f} s: {what}"
        time.sleep(min(max(shortest_s, waited_s * _PART), longest_s))
    return found
