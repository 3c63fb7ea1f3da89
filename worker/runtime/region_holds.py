"""The holds of regions that this process has learned of, for what it has loaded already."""

from __future__ import annotations

import time
from typing import Final

#: For how long a hold is remembered here, in seconds: what was loaded before it is processed or given back by then.
HEARD_FOR_S: Final = 2.0


class RegionHolds:
    """The regions on hold, as far as this process knows: what it has loaded of them is not polled.

    The ledger decides, and hands out nothing of a region on hold. This is for what was handed out before: it is given
    back at once, so a hold is remembered for two seconds, and one that a person ends is over here soon, too.
    """

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def hold(self, region: str, for_s: float) -> None:
        self._until[region] = time.monotonic() + min(for_s, HEARD_FOR_S)

    def is_held(self, region: str) -> bool:
        return time.monotonic() < self._until.get(region, 0.0)
