"""The ground of one run: a fresh Valkey, a fresh vendor, an empty evidence folder, and a contender's processes."""

from __future__ import annotations

import shutil
import socket
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Final

import redis as redis_py

from benchmarks.bench import procfs
from benchmarks.bench import vendor as stand_in
from benchmarks.bench.failure import BenchFailed
from benchmarks.bench.feeding import Feeding
from sandbox.demo import parts, valkey
from sandbox.demo.folder import Folder
from sandbox.demo.processes import Processes
from worker.policy.backoff import SHORTEST_POLL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.bench.contender import Contender, Variant
    from benchmarks.bench.profile import Profile
    from benchmarks.bench.vendor import Vendor
    from sandbox.demo.processes import Process

ROOT: Final = Path(__file__).resolve().parents[2]

#: Beside the project, on a real disk: in a tmpfs a sync would cost nothing.
FOLDER: Final = ROOT / "var"

REGION: Final = "ph"

#: Set where somebody wants the benchmark to end: then every wait on any ground does.
ending: Final = Event()

#: What a contender may hold in memory before its run is ended.
MOST_MEMORY_BYTES: Final = 6_000_000_000

#: How often to look at a queue, and how often at memory, in seconds. The first is how exactly a run's end is known.
_LOOK_S: Final = 0.005
_WEIGH_S: Final = 1.0


class Ground:
    """Where a run takes place. Made by ``ground``."""

    def __init__(self, folder: Folder, processes: Processes, redis_url: str, vendor: Vendor) -> None:
        self.folder = folder
        self.redis_url = redis_url
        self.redis = redis_py.Redis.from_url(redis_url)
        self.vendor = vendor
        self.peak_memory_bytes = 0
        self._processes = processes
        self._workers: list[Process] = []
        self._environment = {
            "PYTHONPATH": str(ROOT),
            "REDIS_URL": redis_url,
            "ADVANCE_BASE_URL": vendor.url,
            "ADVANCE_ACCESS_KEY": stand_in.ACCESS_KEY,
            "ADVANCE_SECRET_KEY": stand_in.SECRET_KEY,
            "ADVANCE_REGIONS": REGION,
            "BENCH_EVIDENCE": str(folder.evidence),
            "EKYC_EVIDENCE_URL": folder.evidence.as_uri(),
            "EKYC_IMAGE_ORIGINS": vendor.url,
        }

    @property
    def pids(self) -> list[int]:
        """The contender's own processes."""
        return [worker.pid for worker in self._workers]

    def play(self, profile: Profile) -> None:
        """Let the vendor do what `profile` says, and tell whoever is started from now on how long to wait for it."""
        self.vendor.play(profile)
        countdown_s = profile.countdown_s
        # Ours draws a countdown evenly between a share of the longest and the longest: the mean is to be the same.
        longest_s = countdown_s / ((SHORTEST_POLL + 1) / 2)
        self._environment |= {
            "BENCH_COUNTDOWN_S": str(countdown_s),
            "EKYC_POLL_FIRST": str(longest_s),
            "EKYC_POLL_FACTOR": "1",
            "EKYC_POLL_CAP": str(longest_s),
            "EKYC_POLL_DEADLINE": str(max(7200.0, countdown_s * 10)),
        }

    def start(self, variant: Variant, profile: Profile) -> None:
        """Start a contender's processes."""
        for command in variant.commands(variant.concurrency(profile), self.folder.root):
            self._environment |= command.environment
            arguments = [sys.executable, "-m", *command.arguments]
            self._workers.append(self._processes.start(command.name, arguments, **self._environment))

    def feed(self, contender: Contender, prefix: str, count: int, *more: str) -> Feeding:
        """Begin to enqueue ids that begin with `prefix`."""
        return Feeding(self._processes, (contender.module, prefix, str(count), *more), self._environment)

    def until(self, done: Callable[[], bool], feeding: Feeding | None, *, within_s: float, what: str) -> None:
        """Wait, and keep an eye on everything. Raises ``BenchFailed`` where time or memory runs out."""
        give_up_at, weigh_at = time.monotonic() + within_s, 0.0
        while not done():
            self._processes.check()
            if ending.is_set():
                raise BenchFailed(f"{what}: interrupted")
            if feeding:
                feeding.failed()
            now = time.monotonic()
            if now > give_up_at:
                raise BenchFailed(f"{what}: not done after {within_s:.0f} s")
            if now > weigh_at:
                self.weigh(what)
                weigh_at = now + _WEIGH_S
            time.sleep(_LOOK_S)

    def weigh(self, what: str = "") -> int:
        """The memory of the contender's processes, in bytes. Raises ``BenchFailed`` where it is too much."""
        held_bytes = procfs.memory_bytes(self.pids)
        self.peak_memory_bytes = max(self.peak_memory_bytes, held_bytes)
        if held_bytes > MOST_MEMORY_BYTES:
            raise BenchFailed(f"{what}: more than {MOST_MEMORY_BYTES / 1e9:.0f} GB of memory")
        return held_bytes


@contextmanager
def yard(where: Path = FOLDER) -> Iterator[Path]:
    """A folder for many grounds. All that was written goes at the end, and not before.

    For minutes after many files were removed, ext4 without a journal is slow to make new ones: each run would be
    slower than the one before it.
    """
    where.mkdir(parents=True, exist_ok=True)
    # Absolute: children run in folders of their own.
    root = Path(tempfile.mkdtemp(prefix="bench-", dir=where.resolve()))
    try:
        yield root
    finally:
        _remove(root)


@contextmanager
def ground(where: Path) -> Iterator[Ground]:
    """Start Valkey and the vendor in a yard. In the end nothing runs any more; what was written stays."""
    parts.forget_environment()
    root = Path(tempfile.mkdtemp(prefix="ground-", dir=where))
    folder = Folder.make(root)
    with Processes(folder) as processes:
        redis_url = valkey.start(processes, folder, valkey.binary())
        made = Ground(folder, processes, redis_url, stand_in.start(processes, root, _free_port()))
        with made.redis:
            yield made


def _remove(folder: Path) -> None:
    try:
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        # Also where that was interrupted: evidence of many takes a while to remove.
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
