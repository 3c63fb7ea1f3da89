"""Waits for a condition instead of sleeping."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

#: How long a test waits for a condition. Far longer than necessary, because no test measures speed.
PATIENCE_S: Final = 60.0

_ASK_AGAIN_S: Final = 0.02


def until(true: Callable[[], Any], what: str = "a condition", patience_s: float = PATIENCE_S) -> Any:
    """Wait until `true` returns a true value, and return it. Fails with `what` after `patience_s` seconds."""
    give_up_at = time.monotonic() + patience_s
    while not (found := true()):
        assert time.monotonic() < give_up_at, f"not true after {patience_s:.0f} s: {what}"
        time.sleep(_ASK_AGAIN_S)
    return found
