"""Figures of the ledger: a snapshot, and the rates between two snapshots."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from worker.ledger.models import Lately
from worker.ledger.moments import rfc3339
from worker.ledger.stats import Stats, added_up, lately_together
from worker.ledger.worker_registry import WorkerRegistry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis

    from worker.ledger.models import Counts
    from worker.ledger.worker_registry import Presence, Worker


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The figures of the ledger at one moment."""

    #: By this machine's monotonic clock.
    at_s: float
    total: Counts
    regions: dict[str, Counts]
    #: Workers that have not signed out; the ones that are missing, too.
    seen: tuple[Presence, ...] = ()
    #: By region, what happened in the last minutes; empty if it was not read.
    lately: dict[str, Lately] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        """Whether nothing was ever enqueued."""
        return not self.total.enqueued

    @property
    def workers(self) -> tuple[Worker, ...]:
        """The workers that were seen lately."""
        return tuple(each.worker for each in self.seen if not each.is_missing)

    @property
    def decided(self) -> int:
        """The number of decisions delivered so far."""
        return sum(self.total.decisions.values())

    def as_json(self) -> dict[str, Any]:
        """Return the figures of all regions together, and of each under `regions`."""
        return _as_json(self.total, lately_together(self.lately.values())) | {
            "regions": {
                region: _as_json(counts, self.lately.get(region, Lately()))
                for region, counts in self.regions.items()
            },
            "workers": [asdict(worker) for worker in self.workers],
        }


@dataclass(frozen=True, slots=True)
class Rates:
    """Rates per second between two snapshots."""

    enqueued: float
    polls: float
    decided: float

    @classmethod
    def between(cls, before: Snapshot, after: Snapshot) -> Rates:
        """Return the rates, never below zero, even if the ledger was emptied in between."""
        passed_s = max(after.at_s - before.at_s, 1e-3)
        return cls(
            enqueued=max(after.total.enqueued - before.total.enqueued, 0) / passed_s,
            polls=max(after.total.polls - before.total.polls, 0) / passed_s,
            decided=max(after.decided - before.decided, 0) / passed_s,
        )


def look(
    redis: Redis, regions: Sequence[str], *, lately: bool = False, stats: Stats | None = None
) -> Snapshot:
    """Read a snapshot of the ledger; with `lately` also what happened in the last minutes.

    Raises ``LedgerUnavailable``.
    """
    stats = stats or Stats(redis)
    parts = stats.by_region(regions)
    recent = {region: stats.lately(region) for region in regions} if lately else {}
    return Snapshot(time.monotonic(), added_up(parts.values()), parts, WorkerRegistry(redis).seen(), recent)


def _as_json(counts: Counts, lately: Lately) -> dict[str, Any]:
    return {
        "last_5_min": asdict(lately) | {"seconds": round(lately.seconds, 1)},
        "waiting": counts.waiting,
        "waiting_by_pipeline": counts.pipelines,
        "in_flight": counts.in_flight,
        "lapsed": counts.lapsed,
        "done": counts.done,
        "quarantined": counts.quarantined,
        "dropped": counts.dropped,
        "enqueued": counts.enqueued,
        "polls": counts.polls,
        "extra_calls": counts.extra_calls,
        "oldest_due_s": round(counts.oldest_due_s, 3),
        "decisions": counts.decisions,
        "error_codes": counts.error_codes,
        "shadow_differences": counts.shadow,
        "answers": counts.answers,
        "faults": counts.faults,
        "evidence_files": counts.evidence_files,
        "evidence_bytes": counts.evidence_bytes,
        "quarantine": counts.quarantine,
        "holds": [
            {
                "region": hold.region,
                "reason": hold.reason,
                "until": rfc3339(hold.until_ms),
                "half_open": hold.half_open,
            }
            for hold in counts.holds
        ],
    }
