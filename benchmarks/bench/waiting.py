"""The profile `waiting`: so many are polled once and then wait for days, while 50 a second settle."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from benchmarks.bench import procfs
from benchmarks.bench.failure import BenchFailed
from benchmarks.bench.ground import MOST_MEMORY_BYTES, ground
from benchmarks.bench.profile import WAITING
from benchmarks.bench.rounds import FAILURES
from benchmarks.bench.run import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from benchmarks.bench.ground import Ground
    from benchmarks.bench.rounds import Entry

#: How many settle meanwhile, in a second.
SETTLE_PER_S: Final = 50

#: How often memory is looked at while they are taken up, in seconds.
_SAMPLE_S: Final = 0.5

#: With eight digits sixteen characters, as the vendor's own ids have: Redis holds each id three times.
_FOREVER: Final = "forever-"

#: How long the last of those that settle may take, in seconds.
_LAST_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Sample:
    """Memory with so many waiting."""

    waiting: int
    workers_bytes: int
    redis_bytes: int


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of those that were enqueued at 50 a second: delays from the enqueue to the decision on its queue."""

    asked: int = 0
    decided: int = 0
    delay_median_ms: float = 0.0
    delay_p95_ms: float = 0.0
    cpu_ms_each: float = 0.0


@dataclass(frozen=True, slots=True)
class Step:
    """What it came to with so many waiting.

    Parameters:
      asked, waiting: how many should wait, and how many were polled and do.
      taken_per_s: how many were enqueued, taken up and polled in a second.
      workers_mb, redis_mb: what they held in the end.
      worker_bytes_each: by how much the workers grew for each that was polled; see ``growth``.
      redis_bytes_each: by how much Redis grew for each in all: it holds them from the enqueue on.
      failure: why it went no further. Of one that was not even tried the rest is 0.
    """

    contender: str
    variant: str
    asked: int
    waiting: int
    taken_per_s: float
    workers_mb: float = 0.0
    redis_mb: float = 0.0
    worker_bytes_each: float = 0.0
    redis_bytes_each: float = 0.0
    settled: Settled = Settled()
    failure: str | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(slots=True)
class Waiting:
    """One contender, with ever more waiting.

    Parameters:
      within_s: how long it may take until the first number waits, and until each further one does.
      warm_s, settle_s: for how long it warms up, and for how long 50 a second settle.
    """

    entry: Entry
    within_s: tuple[float, float]
    warm_s: float
    settle_s: float
    where: Path
    tell: Callable[[str], None]
    steps: list[Step] = field(default_factory=list)

    def play(self, numbers: Sequence[int]) -> None:
        """Raises nothing for what a contender does: that is a step's `failure`."""
        with ground(self.where) as fresh:
            run = Run(fresh, self.entry.contender, self.entry.variant)
            run.start(WAITING, count=50, for_s=self.warm_s)
            for number in numbers:
                step = self._step(fresh, run, number, self.within_s[bool(self.steps)])
                self.steps.append(step)
                self.tell(f"waiting · {self.entry.name} · {line(step)}")
                if step.failure:
                    return

    def _step(self, fresh: Ground, run: Run, number: int, within_s: float) -> Step:
        before = self.steps[-1] if self.steps else None
        already = before.waiting if before else 0
        hopeless = before and hopelessness(before, number, within_s)
        if before and hopeless:
            return self._ended(number, before.waiting, 0.0, (), hopeless)
        samples = Samples(fresh, already)
        samples.look()
        began_at = time.monotonic()
        try:
            feeding = fresh.feed(run.contender, _FOREVER, number - already, "--first", str(already))
            fresh.until(
                lambda: samples.look() >= number, feeding, within_s=within_s, what=f"{number:,} waiting"
            )
            taken_per_s = (number - already) / (time.monotonic() - began_at)
            step = self._ended(number, number, taken_per_s, samples.taken, None)
            settled = settle(fresh, run, f"settle{number}-", self.settle_s)
        except FAILURES as error:
            reached = samples.look()
            pace = (reached - already) / (time.monotonic() - began_at)
            return self._ended(number, reached, pace, samples.taken, str(error).splitlines()[0])
        return Step(**(asdict(step) | {"settled": settled}))

    def _ended(
        self, asked: int, waiting: int, taken_per_s: float, samples: Sequence[Sample], failure: str | None
    ) -> Step:
        first, last = (samples[0], samples[-1]) if samples else (Sample(0, 0, 0), Sample(0, 0, 0))
        added = last.waiting - first.waiting
        return Step(
            contender=self.entry.contender.name,
            variant=self.entry.variant.name,
            asked=asked,
            waiting=waiting,
            taken_per_s=round(taken_per_s, 1),
            workers_mb=round(last.workers_bytes / 1e6, 1),
            redis_mb=round(last.redis_bytes / 1e6, 1),
            worker_bytes_each=growth([(one.waiting, one.workers_bytes) for one in samples]),
            # Never a minus before nothing.
            redis_bytes_each=round((last.redis_bytes - first.redis_bytes) / added, 1) + 0.0 if added else 0.0,
            failure=failure,
        )


class Samples:
    """Looks at how many wait, now and then, and at what they take."""

    def __init__(self, fresh: Ground, already: int) -> None:
        self.taken: list[Sample] = []
        self._ground = fresh
        self._before = fresh.vendor.calls().get_result - already
        self._look_at = 0.0

    def look(self) -> int:
        """How many waited when it was looked last."""
        if time.monotonic() >= self._look_at:
            # Each is polled once.
            waiting = self._ground.vendor.calls().get_result - self._before
            redis_bytes = int(self._ground.redis.info("memory")["used_memory"])
            self.taken.append(Sample(waiting, procfs.memory_bytes(self._ground.pids), redis_bytes))
            self._look_at = time.monotonic() + _SAMPLE_S
        return self.taken[-1].waiting


def settle(fresh: Ground, run: Run, prefix: str, for_s: float) -> Settled:
    """Enqueue 50 a second, and see when each is decided."""
    queue = run.contender.queue
    count = round(SETTLE_PER_S * for_s)
    seen = queue.length(fresh.redis)
    arrived: list[tuple[str, float]] = []

    def all_arrived() -> bool:
        now = time.time()
        arrived.extend((name, now) for name in queue.since(fresh.redis, seen + len(arrived)))
        return len(arrived) >= count

    cpu_s = procfs.cpu_s(fresh.pids)
    feeding = fresh.feed(run.contender, prefix, count, "--per-second", str(SETTLE_PER_S))
    # Those that are not decided by then are not counted as such.
    with suppress(BenchFailed):
        fresh.until(all_arrived, feeding, within_s=for_s + _LAST_S, what="settling")
    cpu_s = procfs.cpu_s(fresh.pids) - cpu_s
    enqueued_at = {said["id"]: said["at"] for said in feeding.lines() if "id" in said}
    delays_ms = sorted((moment - enqueued_at[name]) * 1000 for name, moment in dict(arrived).items())
    if not delays_ms:
        return Settled(asked=count)
    return Settled(
        asked=count,
        decided=len(delays_ms),
        delay_median_ms=round(median(delays_ms), 1),
        delay_p95_ms=round(delays_ms[math.ceil(len(delays_ms) * 0.95) - 1], 1),
        cpu_ms_each=round(cpu_s / len(delays_ms) * 1000, 2),
    )


def hopelessness(before: Step, number: int, within_s: float) -> str | None:
    """Why there is no use in trying with `number`, by what the step before came to. None: there is."""
    takes_s = (number - before.waiting) / before.taken_per_s
    if takes_s > within_s:
        return f"not tried: at {before.taken_per_s:,.0f} a second it would take {takes_s / 60:,.0f} minutes"
    needs_bytes = before.workers_mb * 1e6 + before.worker_bytes_each * (number - before.waiting)
    if needs_bytes > MOST_MEMORY_BYTES:
        return f"not tried: it would need {needs_bytes / 1e9:.0f} GB of memory"
    return None


def line(step: Step) -> str:
    settled = step.settled
    taken_up = (
        f"{step.waiting:,} wait, taken up {step.taken_per_s:,.0f} a second; workers {step.workers_mb:,.0f} MB "
        f"({step.worker_bytes_each:,.1f} bytes each)"
    )
    if step.failure:
        return f"{step.failure}; {taken_up}" if step.taken_per_s else step.failure
    return (
        f"{taken_up}, Redis {step.redis_bytes_each:,.0f} bytes each; "
        f"{settled.decided} of {settled.asked} settle after {settled.delay_median_ms:.0f} ms "
        f"({settled.delay_p95_ms:.0f} ms), {settled.cpu_ms_each:.1f} ms of CPU each"
    )


def growth(samples: Sequence[tuple[int, int]]) -> float:
    """By how many bytes a process grew for each that waits, from how many waited and what it held, in their order.

    The most that it held in the second half against the most in the first, over what came to wait between. That is the
    slope, where it grows evenly. A process also grows by what it needs to work at all, which is over in the first
    half, and gives some megabytes back and takes them again, by which a line through all would be wrong.
    """
    middle = (samples[0][0] + samples[-1][0]) / 2 if samples else 0
    early = [sample for sample in samples if sample[0] <= middle]
    late = samples[len(early) :]
    if not (early and late):
        return 0.0
    grew_bytes = max(held for _, held in late) - max(held for _, held in early)
    # Never a minus before nothing.
    return round(grew_bytes / (late[-1][0] - early[-1][0]), 1) + 0.0
