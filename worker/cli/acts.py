"""What operators did to whole regions, read from the ledger: who put a region on hold or resumed it, when and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from worker.ledger import Quarantine
from worker.ledger.moments import rfc3339

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis

    from worker.ledger.models import Event

#: How many acts are shown by default.
USUAL: Final = 20

#: How many acts the ledger keeps of each region: `MAX_ACTS` in `common.lua`.
KEPT: Final = 1000


@dataclass(frozen=True, slots=True)
class Act:
    """One act of a person on a region."""

    region: str
    event: Event

    def as_json(self) -> dict[str, str]:
        return {
            "at": rfc3339(self.event.at_ms),
            "region": self.region,
            "act": self.event.name,
            "why": self.event.detail,
            "who": self.event.worker,
        }

    def __str__(self) -> str:
        return f"{rfc3339(self.event.at_ms)} {self.event.name} by {self.event.worker}: {self.event.detail}"


def recent(redis: Redis, regions: Sequence[str], most: int = USUAL) -> tuple[Act, ...]:
    """Return the newest `most` acts (1 or more) of all `regions`, oldest first. Raises ``LedgerUnavailable``."""
    quarantine = Quarantine(redis, who="")
    acts = [Act(region, event) for region in regions for event in quarantine.acts(region)]
    return tuple(sorted(acts, key=lambda act: act.event.at_ms)[-most:])
