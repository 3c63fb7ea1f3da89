"""The holds of regions that this process has learned of, for what it has loaded already."""

from __future__ import annotations

import time
from typing import Final

#: For how long a hold is remembered here, in seconds: what was loaded before it is processed or given back by then.
HEARD_FOR_S: Final = 2.0


class Rests:
    """The rests that this process has heard of: what it has loaded already must not be asked any more.

    The ledger is the one to say, and hands out nothing of a region that rests. This is for what was handed out before:
    it is given back at once, so a moment is enough, and a rest that a person ends is over here too.
    """

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def begin(self, region: str, for_s: float) -> None:
        self._until[region] = time.monotonic() + min(for_s, HEARD_FOR_S)

    def resting(self, region: str) -> bool:
        return time.monotonic() < self._until.get(region, 0.0)
