"""One run: let a few through until all is warm, enqueue, wait for the last decision, and count what must agree."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from benchmarks.bench import procfs
from benchmarks.bench.contender import CORES
from benchmarks.bench.feed import signature_id
from benchmarks.bench.ground import REGION
from benchmarks.bench.profile import IMAGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from benchmarks.bench.contender import Contender, Variant
    from benchmarks.bench.ground import Ground
    from benchmarks.bench.profile import Profile
    from benchmarks.bench.vendor import Calls

#: For processes to come up: Celery's take some seconds where both start at once.
_START_S: Final = 180.0

#: Before anything is counted: what is done twice may come after the last decision.
_LINGER_S: Final = 0.3


@dataclass(frozen=True, slots=True)
class Figures:
    """What a run came to.

    Parameters:
      seconds: from the first enqueue to the last decision on its queue; `per_s` follows from it.
      cpu_s: of the contender's processes in that time; of the vendor's stand-in `vendor_cpu_s`.
      others_cores: how many cores were busy with what does not belong to the benchmark. It should be none.
      memory_mb: the most that the processes held, shared pages counted once.
      disagreements: where a count is not what the job asks for; empty: all agree.
    """

    contender: str
    variant: str
    profile: str
    count: int
    seconds: float
    per_s: float
    cpu_s: float
    vendor_cpu_s: float
    others_cores: float
    memory_mb: float
    disagreements: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def at_most_per_s(self) -> float:
        """How many a second there would be if the contender had all cores and never waited."""
        return CORES * self.count / max(self.cpu_s, 1e-9)


@dataclass(frozen=True, slots=True)
class Cpu:
    """CPU seconds so far: of the contender, of the vendor's stand-in, and of all that is not the benchmark's."""

    workers_s: float
    vendor_s: float
    others_s: float

    @classmethod
    def now(cls, ground: Ground) -> Cpu:
        others_s = procfs.busy_s() - procfs.cpu_s([os.getpid()])
        return cls(procfs.cpu_s(ground.pids), procfs.cpu_s([ground.vendor.pid]), others_s)

    def since(self, before: Cpu) -> Cpu:
        return Cpu(
            self.workers_s - before.workers_s,
            self.vendor_s - before.vendor_s,
            self.others_s - before.others_s,
        )


class Run:
    """A contender on its ground."""

    def __init__(self, ground: Ground, contender: Contender, variant: Variant) -> None:
        self.ground = ground
        self.contender = contender
        self.variant = variant
        self._turn = 0

    @property
    def name(self) -> str:
        return f"{self.contender.name} ({self.variant.name})"

    def start(self, profile: Profile, *, count: int, for_s: float) -> Figures:
        """Start the processes and let verifications through, again and again for some seconds.

        Until then every process has imported, connected and has its token. Returns what the last turn came to.
        """
        self.ground.play(profile)
        self.ground.start(self.variant, profile)
        warm_at = time.monotonic() + for_s
        figures = self.let_through(profile, count, within_s=_START_S)
        while time.monotonic() < warm_at:
            figures = self.let_through(profile, count, within_s=_START_S)
        return figures

    def let_through(self, profile: Profile, count: int, *, within_s: float) -> Figures:
        """Measure. Raises ``BenchFailed`` where not all of them are decided in time."""
        ground, queue = self.ground, self.contender.queue
        ground.play(profile)
        self._turn += 1
        prefix = f"{profile.name}{self._turn}-"
        seen = queue.length(ground.redis)
        calls = ground.vendor.calls()
        before = Cpu.now(ground)
        feeding = ground.feed(self.contender, prefix, count)
        ground.until(
            lambda: queue.length(ground.redis) >= seen + count, feeding, within_s=within_s, what=self.name
        )
        ended_at = time.time()
        used = Cpu.now(ground).since(before)
        seconds = ended_at - feeding.lines()[-1]["began_at"]
        ground.weigh(self.name)
        time.sleep(_LINGER_S)
        arrived = queue.since(ground.redis, seen)
        made = ground.vendor.calls().since(calls)
        expected = {signature_id(prefix, number) for number in range(count)}
        return Figures(
            contender=self.contender.name,
            variant=self.variant.name,
            profile=profile.name,
            count=count,
            seconds=round(seconds, 3),
            per_s=round(count / seconds, 1),
            cpu_s=round(used.workers_s, 2),
            vendor_cpu_s=round(used.vendor_s, 2),
            others_cores=round(used.others_s / seconds, 2),
            memory_mb=round(ground.peak_memory_bytes / 1e6, 1),
            disagreements=tuple(
                disagreements(ground.folder.evidence / REGION, expected, profile.polls, arrived, made)
            ),
        )


def disagreements(
    evidence: Path, expected: AbstractSet[str], polls: int, arrived: Sequence[str], made: Calls
) -> list[str]:
    """Where a count is not what the job asks for: each of `expected` once, with so many polls and two images."""
    count = len(expected)
    checks = {
        "decisions": (len(arrived), count),
        "verifications decided": (len(expected & set(arrived)), count),
        "calls of get-result": (made.get_result, count * polls),
        "calls for images": (made.image, count * 2),
        "folders with an answer and two images": (sum(_whole(evidence / name) for name in expected), count),
    }
    return [f"{found} {name} instead of {due}" for name, (found, due) in checks.items() if found != due]


def _whole(folder: Path) -> bool:
    try:
        return (folder / "answer.json").stat().st_size > 0 and all(
            (folder / f"{side}.jpg").stat().st_size == IMAGE_BYTES for side in ("front", "back")
        )
    except OSError:
        return False
