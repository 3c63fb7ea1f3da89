"""The heartbeat of a worker: every few seconds the registry and a file show that its dispatcher's loop turns."""

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

#: How long the end of a worker waits for the last word.
LAST_WORD_S: Final = 3.0


class Loop(Protocol):
    """What is watched: when it last turned, by `time.monotonic()`."""

    turned_at: float


class Heartbeat(threading.Thread):
    """Follows the dispatcher's loop, which a worker stops and starts again with its connection to the broker.

    The health file's mtime is the moment at which the loop last turned; a loop that waits for Redis turns. While there
    is none, because Celery waits for its broker or ends its last tasks, it is the moment of the beat: to start such a
    worker again would help nobody. It is in the registry only while there is a loop.

    Parameters:
      health_file: None: none. It exists from the first beat until the worker ends.
    """

    def __init__(self, registry: WorkerRegistry, worker: Worker, health_file: HealthFile | None) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._registry = registry
        self._worker = worker
        self._file = health_file
        self._loop: Loop | None = None
        self._stir = threading.Event()
        self._ended = False
        self._look_at: float | None = time.monotonic() + WORKER_SEEN_S + HEARTBEAT_S

    def follow(self, loop: Loop | None) -> None:
        """From now on this loop counts; None: there is none for now."""
        self._loop = loop
        self._stir.set()

    def end(self) -> None:
        """Sign out and remove the file."""
        self._loop, self._ended = None, True
        self._stir.set()
        self.join(LAST_WORD_S)

    def run(self) -> None:
        while True:
            self._stir.clear()
            if self._ended:
                break
            try:
                self._beat()
            except Exception as error:  # noqa: BLE001 - a worker that works must not be taken for dead
                _log.error("heartbeat_failed", error=type(error).__name__)
            self._stir.wait(HEARTBEAT_S)
        self._say(None)
        if self._file is not None:
            self._file.remove()

    def _beat(self) -> None:
        loop = self._loop
        turned_s_ago = 0.0 if loop is None else time.monotonic() - loop.turned_at
        self._say(None if loop is None else turned_s_ago)
        if self._file is not None:
            self._file.touch(turned_s_ago)

    def _say(self, turned_s_ago: float | None) -> None:
        # Without Redis nobody can be told, and nobody could ask.
        with suppress(LedgerUnavailable):
            if turned_s_ago is None:
                self._registry.sign_out(self._worker)
            else:
                self._registry.sign_in(self._worker, seen_s_ago=turned_s_ago)
                self._look_for_namesakes()

    def _look_for_namesakes(self) -> None:
        """Once, when a process that was killed before this one started is forgotten."""
        if self._look_at is None or time.monotonic() < self._look_at:
            return
        if any(
            other.name == self._worker.name and other != self._worker for other in self._registry.present()
        ):
            _log.warning(
                "node_name_shared",
                worker=self._worker.name,
                hint="two workers run under this name: start each with a name of its own, or without -n",
            )
        self._look_at = None
