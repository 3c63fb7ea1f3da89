"""A whole fleet for a test: Valkey, the vendor's stand-in, and worker processes that can be told to die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Final

import redis as redis_py
from kombu import Connection

from sandbox.server import Sandbox
from tests.support.fork_server import is_worth_it, server
from tests.support.paths import ROOT
from tests.support.waiting import PATIENCE_S, until
from worker.ledger import Ledger, Stats

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.support.fork_server import Forked

    Process = subprocess.Popen[bytes] | Forked

#: Modules that run as well in a fork.
FORKED: Final = frozenset({"celery", "gunicorn", "worker.cli"})


@dataclass
class Fleet:
    """The environment of a fleet, and what a test does with it."""

    folder: Path
    redis_url: str
    vendor: Sandbox
    environment: dict[str, str]
    processes: list[Process] = field(default_factory=list)
    #: Where decisions are delivered, where that is not the ledger's Redis.
    broker_url: str = ""
    #: In which folder commands are started.
    cwd: Path = ROOT
    #: Whether commands are forked from a process that has imported their libraries, instead of started by Python.
    forks: bool = True

    @property
    def evidence(self) -> Path:
        return self.folder / "evidence"

    def start(self, *command: str, name: str, **environment: str) -> Process:
        """Run a command of the product; its output goes to `<name>.log`."""
        if not self._is_forked(command, environment):
            return self.spawn([sys.executable, "-m", *command], name, environment)
        given = self.environment | environment
        with (self.folder / f"{name}.log").open("ab") as log, Path(os.devnull).open("rb") as nothing:
            process = server(given).start(
                command[0],
                command[1:],
                environment=given,
                cwd=str(self.cwd),
                descriptors=(nothing.fileno(), log.fileno(), log.fileno()),
                new_session=True,
            )
        self.processes.append(process)
        return process

    def spawn(
        self, command: Sequence[str], name: str, environment: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        """The same of any program."""
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=self.cwd,
                env={**self.environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def worker(self, name: str = "w1", **environment: str) -> Process:
        """A worker that is ready to work."""
        process = self.start(
            "celery", "-A", "worker", "worker", "-n", f"{name}@test", "-l", "INFO", name=name, **environment
        )
        until(lambda: "ready." in self.log(name) or process.poll() is not None, f"{name} gets ready")
        assert process.poll() is None, self.log(name)
        return process

    def run(
        self, *command: str, stdin: str | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of the product to its end."""
        given = self.environment | environment
        if self._is_forked(command, environment):
            ran = server(given).run(
                command[0],
                command[1:],
                environment=given,
                cwd=str(self.cwd),
                stdin=(stdin or "").encode(),
                timeout_s=PATIENCE_S,
            )
            return subprocess.CompletedProcess(
                ran.args, ran.returncode, ran.stdout.decode(), ran.stderr.decode()
            )
        return subprocess.run(
            [sys.executable, "-m", *command],
            check=False,
            cwd=self.cwd,
            env=given,
            input=stdin or "",
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )

    def _is_forked(self, command: Sequence[str], environment: dict[str, str]) -> bool:
        # The server has our modules from this tree, and elsewhere others may come first.
        can_be = self.forks and command[0] in FORKED and self.cwd == ROOT
        return can_be and is_worth_it(self.environment | environment)

    def hold_slow_answers(self) -> Event:
        """Let what the vendor gives late (`latency2s`, `imgslow2s`) come once the event is set, whatever the time."""
        released = Event()
        self.vendor._app.vendor._pause = lambda _: released.wait(PATIENCE_S)
        return released

    def log(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return path.read_text() if path.exists() else ""

    @contextmanager
    def redis(self) -> Iterator[redis_py.Redis]:
        with redis_py.Redis.from_url(self.redis_url) as client:
            yield client

    def ledger(self) -> Ledger:
        return Ledger(redis_py.Redis.from_url(self.redis_url))

    def stats(self) -> Stats:
        return Stats(redis_py.Redis.from_url(self.redis_url))

    def await_done(self, number: int, region: str = "ph") -> None:
        until(lambda: self.stats().counts(region).done >= number, f"{number} verifications are done")

    def await_delivered(self, number: int, region: str = "ph") -> None:
        def count() -> int:
            return sum(self.stats().counts(region).decisions.values())

        until(lambda: count() >= number, f"{number} decisions are delivered")

    def delivered(self) -> list[dict[str, Any]]:
        """Take what lies on the pipeline's queue: the messages as a pipeline in any language would see them."""
        taken: list[dict[str, Any]] = []
        with (
            Connection(self.broker_url or self.redis_url) as connection,
            connection.SimpleQueue("onboarding") as queue,
        ):
            while True:
                try:
                    message = queue.get_nowait()
                except queue.Empty:
                    return taken
                taken.append(
                    {"task": message.headers["task"], "id": message.headers["id"], **message.payload[1]}
                )
                message.ack()

    def stop(self) -> None:
        """End everything that a test has left running."""
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def fleet_at(redis_url: str, folder: Path) -> Iterator[Fleet]:
    """A vendor and the environment of a fleet on that Redis; no worker yet. Nothing of it is left running."""
    keep = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV")
    with Sandbox() as vendor:
        environment = {name: os.environ[name] for name in keep if name in os.environ}
        environment |= vendor.environment()
        environment |= {
            "REDIS_URL": redis_url,
            "ADVANCE_REGIONS": "ph,sg",
            "EKYC_EVIDENCE_URL": f"file://{folder / 'evidence'}",
            "EKYC_POLL_FIRST": "0.05",
            "EKYC_POLL_FACTOR": "1.2",
            "EKYC_POLL_CAP": "1",
            "EKYC_LEASE": "5",
        }
        fleet = Fleet(folder, redis_url, vendor, environment)
        try:
            yield fleet
        finally:
            fleet.stop()
