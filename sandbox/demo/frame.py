"""A snapshot of a demo."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.ledger import Stats
from worker.ledger.connection import translated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis

    from sandbox.demo.deliveries import Deliveries
    from worker.ledger.models import Counts, Hold


@dataclass(frozen=True, slots=True)
class Frame:
    """The state of the ledger and the pipeline at one moment."""

    at_s: float
    planned: int
    now_ms: int
    regions: dict[str, Counts]
    #: Verifications whose decision the pipeline has, by decision.
    decided: dict[str, int]

    def total(self, name: str) -> int:
        """Return one figure of the ledger, summed over all regions."""
        return sum(getattr(counts, name) for counts in self.regions.values())

    @property
    def ended(self) -> int:
        """Verifications that are done or quarantined."""
        return self.total("done") + self.total("quarantined")

    @property
    def over(self) -> bool:
        """True if nothing is in flight any more and the pipeline has every decision."""
        return self.ended == self.planned and sum(self.decided.values()) >= self.total("done")

    @property
    def holds(self) -> tuple[Hold, ...]:
        return tuple(hold for counts in self.regions.values() for hold in counts.holds)


def look(redis: Redis, regions: Sequence[str], deliveries: Deliveries, *, planned: int, at_s: float) -> Frame:
    """Return a snapshot of the ledger and the pipeline. Raises ``LedgerUnavailable``."""
    deliveries.look()
    decided = {delivery.signature_id: delivery.name for delivery in deliveries.all}
    with translated():
        seconds, micros = redis.time()
    return Frame(
        at_s=at_s,
        planned=planned,
        now_ms=seconds * 1000 + micros // 1000,
        regions=Stats(redis).by_region(regions),
        decided=dict(sorted(Counter(decided.values()).items())),
    )
