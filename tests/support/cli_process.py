"""`ekyc` as a process of its own, with only the environment that a test gives it."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from tempfile import TemporaryFile
from threading import Thread
from typing import TYPE_CHECKING

from tests.support.fork_server import server
from tests.support.paths import ROOT
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import IO, Self


@dataclass(frozen=True, slots=True)
class Ended:
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str

    @property
    def err_lines(self) -> list[str]:
        return self.err.splitlines()


class Ekyc:
    """Runs the real command. `with_env` returns a copy with more variables."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.env = {"PATH": os.defpath, **env}

    def with_env(self, **more: str) -> Ekyc:
        return Ekyc(self.env | more)

    def __call__(self, *arguments: str, stdin: str | bytes = b"", timeout_s: float = 60) -> Ended:
        """Run the command to its end. Fails if it prints a traceback."""
        given = stdin.encode() if isinstance(stdin, str) else stdin
        # Files, not pipes: a command that writes much needs no reader.
        with TemporaryFile() as source, TemporaryFile() as out, TemporaryFile() as err:
            source.write(given)
            source.seek(0)
            command = server(self.env).start(
                "worker.cli",
                arguments,
                environment=self.env,
                cwd=str(ROOT),
                descriptors=(source.fileno(), out.fileno(), err.fileno()),
            )
            try:
                code = command.wait(timeout_s)
            finally:
                command.kill()
            out.seek(0)
            err.seek(0)
            ended = Ended(code, out.read().decode(), err.read().decode())
        assert "Traceback" not in ended.out + ended.err
        return ended

    def start(
        self,
        *arguments: str,
        stdin: int = subprocess.PIPE,
        stdout: int | IO[str] = subprocess.PIPE,
        stderr: int = subprocess.PIPE,
    ) -> subprocess.Popen[str]:
        """Start the command and leave it running."""
        return subprocess.Popen(
            [sys.executable, "-m", "worker.cli", *arguments],
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=self.env,
            cwd=ROOT,
            text=True,
        )


class Terminal:
    """A terminal that keeps what is written to it. Its other end, `end`, is for one process to read and write."""

    def __init__(self) -> None:
        self._master, self.end = pty.openpty()
        self._seen = bytearray()
        self._reader = Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            os.close(self.end)
        self._reader.join(timeout=10)
        os.close(self._master)

    @property
    def seen(self) -> str:
        return self._seen.decode(errors="replace")

    def type(self, text: str) -> None:
        """Type `text`, as a person does."""
        os.write(self._master, text.encode())

    def wait_for(self, text: str, times: int = 1) -> None:
        until(lambda: self.seen.count(text) >= times, f"{text!r} is on the terminal {times} times")

    def _read(self) -> None:
        # On Linux, reading fails once the last writer has closed the terminal.
        with suppress(OSError):
            while part := os.read(self._master, 65_536):
                self._seen += part
