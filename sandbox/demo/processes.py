"""The demo's child processes: all are in one process group, and none outlives the demo.

Because of that group only the demo receives a terminal's Ctrl-C; it then ends the children in order.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from sandbox.demo import keeper
from sandbox.demo.failure import DemoFailed
from sandbox.demo.folder import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from sandbox.demo.folder import Folder

#: How long the remaining children may take to end with the demo. Ctrl-C ends everything within 3 s.
GRACE_S: Final = 1.0

#: How often to check whether a process has ended.
_LOOK_S: Final = 0.02

#: How much of a log an error message shows.
_LAST_LINES: Final = 8
_LINE_CHARACTERS: Final = 400


@dataclass(frozen=True, slots=True)
class Process:
    """A child, and its log."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.popen.pid

    def failure(self, what: str) -> DemoFailed:
        """Return an error with the end of the log. `what` is what happened to this process."""
        head = f"{self.name} {what}; its log {shown(self.log)} ends with"
        return DemoFailed("\n".join([head, *(f"  {line}" for line in _last_lines(self.log))]))


class Processes:
    """Starts children and ends them. A context manager.

    Parameters:
      folder: the folder of their logs, and their working directory.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._running: dict[str, Process] = {}

    def __enter__(self) -> Self:
        self._keeper = subprocess.Popen(  # noqa: S603 - ours
            [sys.executable, "-I", "-S", str(Path(keeper.__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.end(*self._running, within_s=GRACE_S)
        finally:
            # Also after an interrupt, and with the processes that children have started.
            # macOS raises PermissionError for a group without processes.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._keeper.pid, signal.SIGKILL)
            for process in (self._keeper, *(process.popen for process in self._running.values())):
                process.kill()
                process.wait()
            if self._keeper.stdin:
                self._keeper.stdin.close()

    def start(
        self, name: str, arguments: Sequence[str | Path], pass_fds: Sequence[int] = (), /, **variables: str
    ) -> Process:
        """Start a child, with its output in the log of that name. Raises ``DemoFailed`` if it cannot be started.

        `pass_fds`: what it inherits beside its streams.
        """
        log = self._folder.log(name)
        try:
            with log.open("ab") as stream:
                popen = self._popen(
                    arguments, stream.fileno(), subprocess.DEVNULL, variables, pass_fds=pass_fds
                )
        except OSError as error:
            raise DemoFailed(f"{name} cannot be started: {error.strerror or error}") from None
        process = self._running[name] = Process(name, popen, log)
        return process

    def run(self, name: str, arguments: Sequence[str | Path], given: bytes, **variables: str) -> bytes:
        """Run a child to its end, with `given` as its input. Return its output. Raises ``DemoFailed``."""
        log = self._folder.log(name)
        with log.open("ab") as stream:
            popen = self._popen(
                arguments, stream.fileno(), subprocess.PIPE, variables, stdout=subprocess.PIPE
            )
        output, _ = popen.communicate(given)
        if popen.returncode:
            raise Process(name, popen, log).failure(f"ended with exit code {popen.returncode}")
        return output

    def check(self) -> None:
        """Raise ``DemoFailed`` if a child has ended unexpectedly."""
        for process in self._running.values():
            code = process.popen.poll()
            if code is not None:
                raise process.failure(f"ended unexpectedly, with exit code {code}")

    def until(self, give_up_at: float) -> Iterator[None]:
        """Yield every 20 ms until `give_up_at` of the monotonic clock. Raises ``DemoFailed`` if a child has ended."""
        while time.monotonic() < give_up_at:
            self.check()
            yield
            time.sleep(_LOOK_S)

    def end(self, *names: str, within_s: float) -> dict[str, int]:
        """Terminate children, and kill them after `within_s`. Return their exit codes; -9: killed."""
        ending = {name: self._running[name].popen for name in names}
        for popen in ending.values():
            popen.terminate()
        give_up_at = time.monotonic() + within_s
        while time.monotonic() < give_up_at and any(popen.poll() is None for popen in ending.values()):
            time.sleep(_LOOK_S)
        for popen in ending.values():
            popen.kill()
        codes = {name: popen.wait() for name, popen in ending.items()}
        for name in names:
            del self._running[name]
        return codes

    def named(self, name: str) -> Process:
        """Return a child that runs."""
        return self._running[name]

    def forget(self, name: str) -> None:
        """Remove a child that has ended as expected."""
        del self._running[name]

    def _popen(  # noqa: PLR0913 - as Popen has them
        self,
        arguments: Sequence[str | Path],
        log: int,
        stdin: int,
        variables: dict[str, str],
        *,
        stdout: int | None = None,
        pass_fds: Sequence[int] = (),
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - ours
            arguments,
            stdin=stdin,
            stdout=log if stdout is None else stdout,
            stderr=log,
            cwd=self._folder.root,
            # Unbuffered: a log is complete also if its process was killed.
            env=os.environ | {"PYTHONUNBUFFERED": "1"} | variables,
            process_group=self._keeper.pid,
            pass_fds=pass_fds,
        )


def _last_lines(log: Path) -> list[str]:
    lines = log.read_text(errors="replace").splitlines()
    return [line[:_LINE_CHARACTERS] for line in lines[-_LAST_LINES:]] or ["(nothing)"]
