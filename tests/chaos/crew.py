"""The workers, each in its place: killed and replaced, frozen and let go on, stopped in the end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Final

from tests.support.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

#: For a worker to say that it is ready; it may wait for a Valkey that is down.
READY_S: Final = 90.0

#: For a worker to end after SIGTERM with nothing to do.
STOP_S: Final = 30.0

#: How often somebody looks whether a worker has ended.
_LOOK_S: Final = 0.5

#: Of the driver's own environment, nothing else reaches a worker.
_KEPT: Final = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV")

#: What Celery logs of each task, at DEBUG as we set it up: once that it was received, and once how it ended.
_TASK: Final = re.compile(rb"Task tasks\.\w+\[([^\]]+)\] (received)?")


@dataclass(slots=True)
class Worker:
    """One process of the crew."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def ready(self) -> bool:
        """Whether it ever was."""
        return b" ready." in self.log.read_bytes()

    def ended(self) -> bool:
        return self.process.poll() is not None

    def at_work(self) -> bool:
        """Whether it has a task in hands, by its log."""
        begun: Counter[bytes] = Counter()
        for task, received in _TASK.findall(self.log.read_bytes()):
            begun[task] += 1 if received else -1
        return any(number > 0 for number in begun.values())

    def signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


@dataclass(slots=True)
class Crew:
    """Worker processes by place, and what a supervisor does for them: who ends is replaced.

    Parameters:
      folder: where their logs go.
      environment: of each, beside what every process needs.
    """

    folder: Path
    environment: dict[str, str]
    workers: dict[int, Worker] = field(default_factory=dict)
    #: How many did not start, because something that they stand on was broken then.
    refused: int = 0
    #: Those that were ready, and ended though nobody had told them to.
    deserters: list[str] = field(default_factory=list)
    #: The places of those that are frozen: nobody else may touch them.
    frozen: set[int] = field(default_factory=set)
    _started: int = 0
    _lock: Lock = field(default_factory=Lock)
    _ended: Event = field(default_factory=Event)
    _supervisor: Thread | None = None

    def start(self, places: Iterable[int]) -> None:
        """Fill each place with a new worker, and keep it filled; does not wait for any."""
        with self._lock:
            for place in places:
                self._fill(place)
        self._supervisor = Thread(target=self._supervise, name="supervisor", daemon=True)
        self._supervisor.start()

    def await_ready(self) -> None:
        """Raises ``RuntimeError`` where a worker does not get ready."""
        give_up_at = time.monotonic() + READY_S
        while not all(worker.ready() for worker in list(self.workers.values())):
            if time.monotonic() > give_up_at:
                raise RuntimeError(f"not every worker gets ready: see the logs in {self.folder}")
            time.sleep(0.05)

    def at_work(self, place: int) -> bool:
        """Whether the worker of a place lives, was ready once, and has a task in hands."""
        worker = self.workers[place]
        return place not in self.frozen and not worker.ended() and worker.ready() and worker.at_work()

    def kill(self, place: int) -> Worker:
        """`kill -9` the worker of a place, and put another there. Returns who died."""
        with self._lock:
            worker = self.workers[place]
            if worker.ended():
                self._dismiss(worker)
            worker.signal(signal.SIGKILL)
            worker.process.wait()
            self._fill(place)
            return worker

    def freeze(self, place: int) -> Worker:
        """Stop the worker of a place in the middle of whatever it does."""
        with self._lock:
            self.frozen.add(place)
            self.workers[place].signal(signal.SIGSTOP)
            return self.workers[place]

    def thaw(self, place: int) -> None:
        """Let it go on."""
        with self._lock:
            self.workers[place].signal(signal.SIGCONT)
            self.frozen.discard(place)

    def stop(self) -> dict[str, int | None]:
        """SIGTERM to all, and how each ended; None: it did not, and was killed."""
        self._end_supervision()
        for worker in self.workers.values():
            worker.signal(signal.SIGTERM)
        give_up_at = time.monotonic() + STOP_S
        codes: dict[str, int | None] = {}
        for worker in self.workers.values():
            try:
                codes[worker.name] = worker.process.wait(max(0.0, give_up_at - time.monotonic()))
            except subprocess.TimeoutExpired:
                codes[worker.name] = None
        self.end()
        return codes

    def end(self) -> None:
        """`kill -9` whatever still runs."""
        self._end_supervision()
        for worker in self.workers.values():
            worker.signal(signal.SIGKILL)
            worker.process.wait()
        self.workers.clear()

    def _end_supervision(self) -> None:
        self._ended.set()
        if self._supervisor is not None:
            self._supervisor.join()

    def _supervise(self) -> None:
        while not self._ended.wait(_LOOK_S):
            with self._lock:
                for place, worker in list(self.workers.items()):
                    if worker.ended():
                        self._dismiss(worker)
                        self._fill(place)

    def _dismiss(self, worker: Worker) -> None:
        if worker.ready():
            self.deserters.append(worker.name)
        else:
            self.refused += 1

    def _fill(self, place: int) -> None:
        name = f"w{self._started}"
        self._started += 1
        log = self.folder / f"{name}.log"
        kept = {variable: os.environ[variable] for variable in _KEPT if variable in os.environ}
        command = ("celery", "-A", "worker", "worker", "-n", f"{name}@chaos", "-l", "DEBUG")
        self.workers[place] = Worker(name, spawn(command, log, kept | self.environment), log)


def spawn(command: Iterable[str], log: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Run a Python module of this tree in a process group of its own; all it says goes to `log`."""
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=ROOT,
            env={"PYTHONPATH": str(ROOT), **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
