"""The heartbeat of a worker: every few seconds it shows in the registry and in a file that the dispatcher loop runs."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from worker.errors import LedgerUnavailable
from worker.time_budget import HEARTBEAT_S, WORKER_SEEN_S

if TYPE_CHECKING:
    from worker.ledger.worker_registry import Worker, WorkerRegistry
    from worker.runtime.health_file import HealthFile

_log = structlog.get_logger(__name__)

#: How long a worker that ends waits for the heartbeat to sign out, in seconds.
LAST_WORD_S: Final = 3.0


class Loop(Protocol):
    """The watched loop. `turned_at`: when it last ran, by `time.monotonic()`."""

    turned_at: float


class Heartbeat(threading.Thread):
    """Follows the dispatcher's loop, which a worker stops and starts again with its connection to the broker.

    The health file's mtime is the moment at which the loop last ran; a loop that waits for Redis counts as running.
    While there is no loop, because Celery waits for its broker or ends its last tasks, it is the moment of the beat,
    because a restart would not help such a worker. The worker is in the registry only while there is a loop.

    Parameters:
      health_file: exists from the first beat until the worker ends. None for no file.
    """

    def __init__(self, registry: WorkerRegistry, worker: Worker, health_file: HealthFile | None) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._registry = registry
        self._worker = worker
        self._file = health_file
        self._loop: Loop | None = None
        self._wake = threading.Event()
        self._ended = False
        self._look_at: float | None = time.monotonic() + WORKER_SEEN_S + HEARTBEAT_S

    def follow(self, loop: Loop | None) -> None:
        """Watch this loop from now on; None if there is no loop for now."""
        self._loop = loop
        self._wake.set()

    def end(self) -> None:
        """Sign out and remove the file."""
        self._loop, self._ended = None, True
        self._wake.set()
        self.join(LAST_WORD_S)

    def run(self) -> None:
        while True:
            self._wake.clear()
            if self._ended:
                break
            try:
                self._beat()
            except Exception as error:  # noqa: BLE001 - a working worker must not look dead
                _log.error("heartbeat_failed", error=type(error).__name__)
            self._wake.wait(HEARTBEAT_S)
        self._register(None)
        if self._file is not None:
            self._file.remove()

    def _beat(self) -> None:
        loop = self._loop
        turned_s_ago = 0.0 if loop is None else time.monotonic() - loop.turned_at
        self._register(None if loop is None else turned_s_ago)
        if self._file is not None:
            self._file.touch(turned_s_ago)

    def _register(self, turned_s_ago: float | None) -> None:
        # Without Redis there is no registry to write or to read.
        with suppress(LedgerUnavailable):
            if turned_s_ago is None:
                self._registry.sign_out(self._worker)
            else:
                self._registry.sign_in(self._worker, seen_s_ago=turned_s_ago)
                self._look_for_namesakes()

    def _look_for_namesakes(self) -> None:
        """Warn once if another worker has this name. By then the registry has dropped processes killed earlier."""
        if self._look_at is None or time.monotonic() < self._look_at:
            return
        if any(
            other.name == self._worker.name and other != self._worker for other in self._registry.present()
        ):
            _log.warning(
                "node_name_shared",
                worker=self._worker.name,
                hint="two workers run under this name: start each with its own name, or without -n",
            )
        self._look_at = None
