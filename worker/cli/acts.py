"""What people did to whole regions, read back: who held or resumed one, when and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from worker.cli.time_format import rfc3339
from worker.ledger import Quarantine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis

    from worker.ledger.models import Event

#: How many are read back where nobody asks for more.
USUAL: Final = 20

#: As many as the ledger keeps of each region: `MAX_ACTS` in `common.lua`.
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
    """The newest of all `regions`, at least one, in order. Raises ``LedgerUnavailable``."""
    quarantine = Quarantine(redis, who="")
    acts = [Act(region, event) for region in regions for event in quarantine.acts(region)]
    return tuple(sorted(acts, key=lambda act: act.event.at_ms)[-most:])
