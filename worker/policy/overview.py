"""Figures of the fleet in words, as the commands and the console show them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from worker.policy.time_format import span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from worker.ledger.models import Counts
    from worker.ledger.worker_registry import Worker

#: The message for a ledger in which nothing was ever enqueued.
NOTHING_YET: Final = (
    "Nothing has been enqueued yet. `ekyc enqueue ID --region ph` enqueues a first verification, "
    "`ekyc demo` shows everything at work."
)

#: The figures of a region, by their titles.
FIGURES: Final[Mapping[str, Callable[[Counts], str]]] = {
    "enqueued": lambda counts: f"{counts.enqueued:,}",
    "waiting": lambda counts: f"{counts.waiting:,}",
    "in flight": lambda counts: f"{counts.in_flight:,}",
    "done": lambda counts: f"{counts.done:,}",
    "quarantined": lambda counts: f"{counts.quarantined:,}",
    "dropped": lambda counts: f"{counts.dropped:,}",
    "polls": lambda counts: f"{counts.polls:,}",
    "oldest due": lambda counts: span(counts.oldest_due_s),
}


def by_table(workers: Iterable[Worker]) -> dict[str, int]:
    """Return how many workers use which decision table and which shadow table."""
    tables = Counter((worker.table, worker.shadow) for worker in workers)
    return {
        f"decision table {table}" + (f" and shadow table {shadow}" if shadow else ""): number
        for (table, shadow), number in sorted(tables.items())
    }
