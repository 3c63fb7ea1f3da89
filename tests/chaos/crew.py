"""The workers, each in a numbered place: killed and replaced, frozen and resumed, stopped at the end."""

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
from pathlib import Path
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Final

from tests.support.fork_server import server
from tests.support.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.support.fork_server import Forked

#: Seconds for a worker to become ready; it may wait for a Valkey that is down.
READY_S: Final = 90.0

#: Seconds for a worker to end after SIGTERM with nothing in flight.
STOP_S: Final = 60.0

#: How often the supervisor checks whether a worker has ended.
_LOOK_S: Final = 0.5

#: The variables of the driver's environment that a worker gets.
_KEPT: Final = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV")

#: Celery's log lines of a task at DEBUG: one when it is received, and one when it ends.
_TASK: Final = re.compile(rb"Task tasks\.\w+\[([^\]]+)\] (received)?")


@dataclass(slots=True)
class Worker:
    """A worker process."""

    name: str
    process: Forked
    log: Path

    def ready(self) -> bool:
        """Return whether the worker was ever ready."""
        return b" ready." in self.log.read_bytes()

    def ended(self) -> bool:
        return self.process.poll() is not None

    def at_work(self) -> bool:
        """Return whether the worker has a task in flight, according to its log."""
        begun: Counter[bytes] = Counter()
        for task, received in _TASK.findall(self.log.read_bytes()):
            begun[task] += 1 if received else -1
        return any(number > 0 for number in begun.values())

    def signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


@dataclass(slots=True)
class Crew:
    """Worker processes by place, with a supervisor that replaces those that end.

    Parameters:
      folder: the folder of their logs.
      environment: variables of each worker, in addition to those of every process.
    """

    folder: Path
    environment: dict[str, str]
    workers: dict[int, Worker] = field(default_factory=dict)
    #: How many workers did not start, because a dependency was unavailable.
    refused: int = 0
    #: Workers that were ready, and ended unexpectedly.
    deserters: list[str] = field(default_factory=list)
    #: The places of frozen workers, which no other fault may touch.
    frozen: set[int] = field(default_factory=set)
    _started: int = 0
    _lock: Lock = field(default_factory=Lock)
    _ended: Event = field(default_factory=Event)
    _supervisor: Thread | None = None

    def start(self, places: Iterable[int]) -> None:
        """Start a worker in each place, and replace workers that end. Does not wait for them."""
        with self._lock:
            for place in places:
                self._fill(place)
        self._supervisor = Thread(target=self._supervise, name="supervisor", daemon=True)
        self._supervisor.start()

    def await_ready(self) -> None:
        """Wait until every worker is ready. Raises ``RuntimeError`` after 90 s."""
        give_up_at = time.monotonic() + READY_S
        while not all(worker.ready() for worker in list(self.workers.values())):
            if time.monotonic() > give_up_at:
                raise RuntimeError(f"not every worker became ready: see the logs in {self.folder}")
            time.sleep(0.05)

    def at_work(self, place: int) -> bool:
        """Return whether the worker of a place runs, was ready once, and has a task in flight."""
        worker = self.workers[place]
        return place not in self.frozen and not worker.ended() and worker.ready() and worker.at_work()

    def kill(self, place: int) -> Worker:
        """`kill -9` the worker of a place, and start another there. Return the killed one."""
        with self._lock:
            worker = self.workers[place]
            if worker.ended():
                self._dismiss(worker)
            worker.signal(signal.SIGKILL)
            worker.process.wait()
            self._fill(place)
            return worker

    def freeze(self, place: int) -> Worker:
        """SIGSTOP the worker of a place, whatever it is doing."""
        with self._lock:
            self.frozen.add(place)
            self.workers[place].signal(signal.SIGSTOP)
            return self.workers[place]

    def thaw(self, place: int) -> None:
        """SIGCONT the worker of a place."""
        with self._lock:
            self.workers[place].signal(signal.SIGCONT)
            self.frozen.discard(place)

    def stop(self) -> dict[str, int | None]:
        """SIGTERM all workers. Return their exit codes; None: it did not end, and was killed."""
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
        """`kill -9` all workers that still run."""
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
        given = kept | self.environment
        with log.open("ab") as output, Path(os.devnull).open("rb") as nothing:
            process = server(given).start(
                "celery",
                ("-A", "worker", "worker", "-n", f"{name}@chaos", "-l", "DEBUG"),
                environment=given,
                cwd=str(ROOT),
                descriptors=(nothing.fileno(), output.fileno(), output.fileno()),
                new_session=True,
            )
        self.workers[place] = Worker(name, process, log)


def spawn(command: Iterable[str], log: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Run a Python module of this tree in a process group of its own, with its output in `log`."""
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
