"""How soon a decision follows: an idle fleet, a verification that waits, and somebody who says that it is ready."""

from __future__ import annotations

import math
import time
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from benchmarks.bench.feed import signature_id
from benchmarks.bench.ground import REGION, ground
from benchmarks.bench.lineup import OURS
from benchmarks.bench.profile import WAITING
from benchmarks.bench.run import Run
from worker.ledger import Ledger, Stats

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.bench.ground import Ground

#: Between two of them, so that the fleet is idle again.
_IDLE_S: Final = 0.3


def measure(where: Path, *, count: int, warm_s: float, tell: Callable[[str], None]) -> dict[str, Any]:
    """From the vendor being ready to the decision on its queue, in milliseconds; `count` of them, one by one."""
    delays_ms = []
    with ground(where) as fresh:
        run = Run(fresh, OURS, OURS.variants[0])
        run.start(WAITING, count=50, for_s=warm_s)
        fresh.feed(OURS, "told-", count).lines()
        stats, ledger = Stats(fresh.redis), Ledger(fresh.redis)
        fresh.until(
            lambda: stats.counts(REGION).waiting >= count, None, within_s=60, what="waiting to be told"
        )
        for number in range(count):
            time.sleep(_IDLE_S)
            delays_ms.append(_told_ms(fresh, ledger, signature_id("told-", number)))
    figures = {
        "count": count,
        "median_ms": round(median(delays_ms), 1),
        "p95_ms": round(sorted(delays_ms)[math.ceil(count * 0.95) - 1], 1),
    }
    tell(f"nudge · decided {figures['median_ms']} ms after it was ready, 95 % within {figures['p95_ms']} ms")
    return figures


def _told_ms(fresh: Ground, ledger: Ledger, name: str) -> float:
    queue = OURS.queue
    arrived = queue.length(fresh.redis) + 1
    fresh.vendor.is_ready(name)
    ready_at = time.perf_counter()
    # What `worker.client.nudge` calls.
    ledger.nudge(REGION, [name])
    fresh.until(
        lambda: queue.length(fresh.redis) >= arrived, None, within_s=30, what="decided after the nudge"
    )
    return (time.perf_counter() - ready_at) * 1000
