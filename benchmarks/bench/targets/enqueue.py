"""How fast a pipeline enqueues: `worker.client` in batches of 1,000, and plain Celery's `delay` one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.bench.ground import ground
from benchmarks.bench.lineup import OURS, PLAIN_CELERY
from benchmarks.bench.profile import CPU
from benchmarks.bench.rounds import rotated

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.bench.contender import Contender


def measure(
    where: Path, *, rounds: int, counts: tuple[int, int], tell: Callable[[str], None]
) -> dict[str, Any]:
    """`counts`: how many ours enqueues in a round, and how many Celery does. No worker runs."""
    per_s: dict[str, list[float]] = {OURS.name: [], PLAIN_CELERY.name: []}
    for number in range(rounds):
        for contender, count in rotated(list(zip((OURS, PLAIN_CELERY), counts, strict=True)), number):
            per_s[contender.name].append(_enqueued_per_s(contender, count, where))
            tell(
                f"enqueue · round {number + 1} · {contender.name}: {per_s[contender.name][-1]:,.0f} a second"
            )
    return {"ours_per_s": per_s[OURS.name], "delay_per_s": per_s[PLAIN_CELERY.name]}


def _enqueued_per_s(contender: Contender, count: int, where: Path) -> float:
    with ground(where) as fresh:
        fresh.play(CPU)
        said = fresh.feed(contender, "enqueue-", count).lines()[-1]
    took_s: float = said["ended_at"] - said["began_at"]
    return round(count / took_s, 1)
