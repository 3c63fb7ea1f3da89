"""The holds of regions that this process knows of, for verifications that it has already loaded."""

from __future__ import annotations

import time
from typing import Final

#: For how long a hold is remembered here, in seconds. Verifications loaded before it are then processed or given back.
HEARD_FOR_S: Final = 2.0


class RegionHolds:
    """The regions on hold, as far as this process knows. Their loaded verifications are not polled.

    The ledger decides, and hands out nothing of a region on hold. This is for verifications that were handed out
    before. They are given back at once, so two seconds are enough. A hold that a person ends is soon over here, too.
    """

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def hold(self, region: str, for_s: float) -> None:
        self._until[region] = time.monotonic() + min(for_s, HEARD_FOR_S)

    def is_held(self, region: str) -> bool:
        return time.monotonic() < self._until.get(region, 0.0)
