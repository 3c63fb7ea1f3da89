"""`ekyc demo` as a process, in an environment full of settings that are not meant for it."""

from __future__ import annotations

import os
import re
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.fork_server import server
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

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

#: A busy machine takes a minute to start all parts.
PATIENCE_S = 120.0

#: Valkey, the sandbox, `web`, two workers, the pipeline, the receiver, and what ends them where the demo cannot.
PROCESSES = 8

READY = "two workers and a pipeline are ready"
HANDED_OVER = "handed over in 4 ways"


class Demo:
    """One that runs. Its streams are files in `folder`. It is forked; Python starts its parts."""

    def __init__(self, folder: Path, *options: str, **environment: str) -> None:
        self.folder = folder
        self._out, self._err = folder / "out", folder / "err"
        given = {"PATH": os.defpath, **NOT_FOR_IT, **environment}
        with self._out.open("wb") as out, self._err.open("wb") as err, Path(os.devnull).open("rb") as nothing:
            self.process = server(given).start(
                "worker.cli",
                ["demo", *options],
                environment=given,
                cwd=str(folder),
                descriptors=(nothing.fileno(), out.fileno(), err.fileno()),
                new_session=True,
            )

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def err(self) -> str:
        return self._err.read_text()

    def await_line(self, text: str, patience_s: float = PATIENCE_S) -> None:
        until(
            lambda: text in self.err or self.process.poll() is not None, f"{text!r} is on stderr", patience_s
        )
        assert text in self.err, self.err

    def await_processes(self) -> dict[int, str]:
        """Wait until each part has a process, and return the children. Most parts have not answered then."""
        until(lambda: len(self.children()) == PROCESSES, "each part has a process", PATIENCE_S)
        return self.children()

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


def assert_ended(running: Demo, code: int, children: dict[int, str]) -> None:
    """The demo ends with `code`, and none of `children` is left then."""
    assert running.process.wait(60) == code, running.err
    assert living(children) == {}
    assert "Traceback" not in running.out + running.err


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
