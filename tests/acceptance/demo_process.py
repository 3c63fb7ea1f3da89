"""`ekyc demo` as a process, in an environment full of settings that are not meant for it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.support.paths import ROOT
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: What somebody may have set for workers of their own. A demo that heeds any of it fails.
NOT_FOR_IT = {
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "CELERY_BROKER_URL": "redis://127.0.0.1:1/0",
    "CELERY_BROKER_WRITE_URL": "redis://127.0.0.1:1/0",
    "ADVANCE_BASE_URL": "http://127.0.0.1:1",
    "ADVANCE_ACCESS_KEY": "mine",
    "ADVANCE_SECRET_KEY_FILE": "/nowhere",
    "ADVANCE_REGIONS": "sg",
    "EKYC_EVIDENCE_URL": "file:///nowhere",
    "EKYC_POLL_FIRST": "600",
    "EKYC_API_TOKENS_FILE": "/nowhere",
    "EKYC_WEB_BIND": "127.0.0.1:1",
    "EKYC_QUEUE": "mine",
    "EKYC_RATE": "0.01",
    "GUNICORN_CMD_ARGS": "--bind 127.0.0.1:1 --workers 9",
    "ONBOARDING_DECISIONS": "none",
    "WEB_CONCURRENCY": "9",
}

READY = "two workers and a pipeline are ready"
HANDED_OVER = "handed over in 4 ways"


class Demo:
    """One that runs. Its streams are files in `folder`."""

    def __init__(self, folder: Path, *options: str, **environment: str) -> None:
        self.folder = folder
        self._out, self._err = folder / "out", folder / "err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "worker.cli", "demo", *options],
                cwd=folder,
                env={"PATH": os.defpath, "PYTHONPATH": str(ROOT), **NOT_FOR_IT, **environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def err(self) -> str:
        return self._err.read_text()

    def await_line(self, text: str) -> None:
        until(lambda: text in self.err or self.process.poll() is not None, f"{text!r} in {self.err}")
        assert text in self.err, self.err

    def children(self) -> dict[int, str]:
        """The command line of each child by its process id."""
        return {pid: command for pid, parent, _, command in processes() if parent == self.process.pid}

    def child(self, part: str) -> int:
        """The child in whose command line `part` is."""
        (pid,) = [pid for pid, command in self.children().items() if part in command]
        return pid


@contextmanager
def demo(folder: Path, *options: str, **environment: str) -> Iterator[Demo]:
    """Start one. It is killed if a test leaves it running; then it is its keeper that has to clean up."""
    running = Demo(folder, *options, **environment)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.wait()


def processes() -> list[tuple[int, int, str, str]]:
    """Process id, parent, state and command line of every process there is."""
    listed = subprocess.run(
        ["ps", "-axwwo", "pid=,ppid=,stat=,command="], capture_output=True, text=True, check=True
    ).stdout
    rows = [re.split(r"\s+", line.strip(), maxsplit=3) for line in listed.splitlines()]
    return [(int(row[0]), int(row[1]), row[2], row[3] if len(row) > 3 else "") for row in rows]


def living(pids: object) -> dict[int, str]:
    """Those of `pids` that still run. One that only waits for its parent to take notice does not."""
    assert isinstance(pids, dict)
    return {pid: command for pid, _, state, command in processes() if pid in pids and "Z" not in state}
