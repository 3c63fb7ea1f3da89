"""What task events cost, which Flower lives on: ours with them and without."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from celery import Celery

from benchmarks.bench.contender import CORES
from benchmarks.bench.failure import BenchFailed
from benchmarks.bench.ground import ground
from benchmarks.bench.lineup import OURS
from benchmarks.bench.profile import CPU
from benchmarks.bench.rounds import rotated
from benchmarks.bench.run import Run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_ON: Final = "on"
_OFF: Final = "off"


def measure(
    where: Path, *, rounds: int, seconds: float, warm_s: float, tell: Callable[[str], None]
) -> dict[str, Any]:
    per_s: dict[str, list[float]] = {_ON: [], _OFF: []}
    for number in range(rounds):
        for events in rotated([_ON, _OFF], number):
            per_s[events].append(_per_s(where, seconds, warm_s, events=events == _ON))
            tell(f"events · round {number + 1} · {events}: {per_s[events][-1]:,.0f} a second")
    return {"on_per_s": per_s[_ON], "off_per_s": per_s[_OFF]}


def _per_s(where: Path, seconds: float, warm_s: float, *, events: bool) -> float:
    with ground(where) as fresh:
        run = Run(fresh, OURS, OURS.variants[0])
        pace = run.start(CPU, count=100, for_s=warm_s).per_s
        if not events:
            _switch_off(fresh.redis_url)
        count = max(50, round(pace * seconds))
        return run.let_through(CPU, count, within_s=seconds * 10 + 30).per_s


def _switch_off(redis_url: str) -> None:
    """As Flower's owner would: by remote control. Raises ``BenchFailed`` where not every worker answers."""
    with Celery(broker=redis_url) as app:
        answers = app.control.broadcast("disable_events", reply=True, timeout=5.0, limit=CORES)
    if len(answers or ()) < CORES:
        raise BenchFailed("not every worker heard that task events are off")
