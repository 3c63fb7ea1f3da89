"""Who runs, each as a user who knows it well would run it on two cores."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from benchmarks.bench.contender import CORES, Command, Contender, Promises, Variant
from benchmarks.bench.queues import HashedList, PushedList, Stream

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.bench.queues import Queue

_CELERY_QUEUE: Final[Queue] = PushedList("onboarding", celery=True)


#: In front of a module that is to run under gevent: what `dramatiq-gevent` does, and huey's documentation asks for.
_PATCHED: Final = ("gevent.monkey", "--module")


def _ours(concurrency: int, folder: Path, module: str = "celery") -> list[Command]:
    del concurrency, folder
    return [
        Command(f"ours{core}", (module, "-A", "worker", "worker", "-n", f"ours{core}@bench", "-l", "WARNING"))
        for core in range(CORES)
    ]


def _celery(
    pool: str, processes: int, concurrency: int, folder: Path, more: Sequence[str] = ()
) -> list[Command]:
    del folder
    flags = ("-Q", "celery", "--without-mingle", "--without-gossip", "-l", "WARNING", *more)
    return [
        Command(
            f"celery{number}",
            (
                *("celery", "-A", "benchmarks.peers.with_celery", "worker", "-n", f"plain{number}@bench"),
                *("-P", pool, "-c", str(concurrency), *flags),
            ),
        )
        for number in range(processes)
    ]


def _dramatiq(patched: Sequence[str], concurrency: int, folder: Path) -> list[Command]:
    del folder
    flags = ("--processes", str(CORES), "--threads", str(concurrency), "--skip-logging")
    return [Command("dramatiq", (*patched, "dramatiq", "benchmarks.peers.with_dramatiq", *flags))]


def _taskiq(concurrency: int, folder: Path) -> list[Command]:
    del folder
    module = "benchmarks.peers.with_taskiq"
    flags = ("--workers", str(CORES), "--max-async-tasks", str(concurrency), "--log-level", "WARNING")
    every_second = ("--update-interval", "1", "--loop-interval", "1", "--log-level", "WARNING")
    return [
        Command("taskiq", ("taskiq", "worker", f"{module}:broker", *flags)),
        Command("scheduler", ("taskiq", "scheduler", f"{module}:scheduler", *every_second)),
    ]


def _huey(kind: str, processes: int, concurrency: int, folder: Path) -> list[Command]:
    del folder
    flags = ("-k", kind, "-w", str(concurrency), "-s", "1", "-q")
    patched = _PATCHED if kind == "greenlet" else ()
    return [
        Command(
            f"huey{number}", (*patched, "huey.bin.huey_consumer", *flags, "benchmarks.peers.with_huey.huey")
        )
        for number in range(processes)
    ]


def _sockets(count: int, folder: Path) -> list[str]:
    return [str(folder / f"bare{number}.sock") for number in range(count)]


def _bare(processes: int, concurrency: int, folder: Path) -> list[Command]:
    del concurrency
    paths = _sockets(processes, folder)
    return [
        Command(f"bare{number}", ("benchmarks.peers.bare", path), {"BENCH_SOCKETS": ",".join(paths)})
        for number, path in enumerate(paths)
    ]


OURS: Final = Contender(
    name="ours",
    module="benchmarks.peers.ours",
    queue=_CELERY_QUEUE,
    variants=(Variant("two workers", _ours),),
    promises=Promises(
        survives_kill="yes, within 30 s",
        one_decision="yes, one stable id",
        evidence="answer, images, manifest with hashes; each synced to disk",
        validation="every answer",
        countdowns_live="in the ledger",
    ),
)

PLAIN_CELERY: Final = Contender(
    name="plain Celery",
    module="benchmarks.peers.with_celery",
    queue=_CELERY_QUEUE,
    variants=(
        Variant("threads", partial(_celery, "threads", CORES), quick=8, slow=64),
        # One worker that forks: a process for each core, or many where each of them waits.
        Variant("prefork", partial(_celery, "prefork", 1), quick=CORES, slow=32),
        Variant("gevent", partial(_celery, "gevent", CORES), quick=64, slow=256),
        # As its guide to optimizing has it for many short tasks; with threads it was slower.
        Variant(
            "gevent, prefetch 64",
            partial(_celery, "gevent", CORES, more=("--prefetch-multiplier", "64")),
            quick=64,
            slow=256,
        ),
    ),
    promises=Promises(
        survives_kill="no: what ran is lost",
        one_decision="no",
        evidence="answer and images",
        validation="no",
        countdowns_live="in a worker's memory",
    ),
)

DRAMATIQ: Final = Contender(
    name="dramatiq",
    module="benchmarks.peers.with_dramatiq",
    queue=HashedList("dramatiq:onboarding"),
    variants=(
        Variant("threads", partial(_dramatiq, ()), quick=8, slow=64),
        Variant("gevent", partial(_dramatiq, _PATCHED), quick=64, slow=256),
    ),
    promises=Promises(
        survives_kill="yes, after a minute or more",
        one_decision="no",
        evidence="answer and images",
        validation="no",
        countdowns_live="in a worker's memory",
    ),
)

TASKIQ: Final = Contender(
    name="taskiq",
    module="benchmarks.peers.with_taskiq",
    queue=Stream("onboarding"),
    variants=(Variant("two processes, and its scheduler", _taskiq, quick=100, slow=500),),
    promises=Promises(
        survives_kill="yes, after ten minutes",
        one_decision="no",
        evidence="answer and images",
        validation="no",
        countdowns_live="in Redis",
    ),
)

HUEY: Final = Contender(
    name="huey",
    module="benchmarks.peers.with_huey",
    queue=PushedList("huey.redis.onboarding"),
    variants=(
        Variant("threads", partial(_huey, "thread", CORES), quick=8, slow=64),
        Variant("processes", partial(_huey, "process", 1), quick=CORES, slow=32),
        Variant("greenlets", partial(_huey, "greenlet", CORES), quick=64, slow=256),
    ),
    promises=Promises(
        survives_kill="no: what ran is lost",
        one_decision="no",
        evidence="answer and images",
        validation="no",
        countdowns_live="in Redis",
    ),
)

BARE: Final = Contender(
    name="bare asyncio",
    module="benchmarks.peers.bare",
    queue=PushedList("onboarding"),
    variants=(
        Variant("two processes", partial(_bare, CORES)),
        Variant("one process", partial(_bare, 1)),
    ),
    promises=Promises(
        survives_kill="no: all is lost",
        one_decision="no",
        evidence="answer and images",
        validation="no",
        countdowns_live="in the process's memory",
    ),
)

#: Run on request only: what `syncfs` saves is the difference to the variant of `OURS`.
OURS_FSYNC: Final = Variant("two workers, fsync", partial(_ours, module="benchmarks.peers.ours_fsync"))

CONTENDERS: Final[Sequence[Contender]] = (OURS, PLAIN_CELERY, DRAMATIQ, TASKIQ, HUEY, BARE)
