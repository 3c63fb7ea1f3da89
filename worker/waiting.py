"""Waiting for a part that may start after us, for a while and no longer."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final

from worker.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

#: Between two tries.
PAUSE_S: Final = 0.5


def await_part(reach: Callable[[], object], limit_s: float) -> None:
    """Call `reach` until it no longer raises ``Unavailable``, and say once that we wait.

    Raises what `reach` raised last, once `limit_s` have passed.
    """
    give_up_at = time.monotonic() + limit_s
    told = False
    while True:
        try:
            reach()
        except Unavailable as error:
            if time.monotonic() > give_up_at:
                raise
            if not told:
                print(f"ekyc: {error}; waiting up to {limit_s:.0f} s", file=sys.stderr)  # noqa: T201
                told = True
            time.sleep(PAUSE_S)
        else:
            return
