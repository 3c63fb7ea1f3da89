"""`ekyc` and other programs as processes of their own, with only the environment that a test gives them."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from threading import Thread
from typing import TYPE_CHECKING

from tests.support.fork_server import is_worth_it, server
from tests.support.paths import ROOT
from tests.support.waiting import until

if TYPE_CHECKING:
    import signal
    from collections.abc import Mapping, Sequence
    from typing import IO, Self, TextIO

    from tests.support.fork_server import Forked


@dataclass(frozen=True, slots=True)
class Ended:
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str

    @property
    def err_lines(self) -> list[str]:
        return self.err.splitlines()


#: How often a command is interrupted before it counts as stuck.
TIMES = 6


@dataclass(frozen=True, slots=True)
class Started:
    """A process that runs. It has what tests use of ``subprocess.Popen``."""

    process: Forked | subprocess.Popen[bytes]
    stdin: TextIO | None
    stdout: TextIO | None
    stderr: TextIO | None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            # A thread may still read its output: to close that would wait for ever.
            self.kill()
        for pipe in (self.stdout, self.stderr, self.stdin):
            _close(pipe)
        self.wait()

    @property
    def returncode(self) -> int | None:
        return self.process.returncode

    def poll(self) -> int | None:
        return self.process.poll()

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status. Raises ``subprocess.TimeoutExpired``."""
        return self.process.wait(timeout)

    def send_signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()

    def interrupt(self, number: signal.Signals) -> int:
        """End it by a signal, and return its exit status. Python does not see one that comes just before a read."""
        for _ in range(TIMES):
            self.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                return self.wait(5)
        raise AssertionError(f"{TIMES} times {number.name} do not end it")

    def communicate(self, text: str = "", timeout: float | None = None) -> tuple[str, str]:
        """Write `text`, read both outputs to their ends, and wait. Raises ``subprocess.TimeoutExpired``."""
        read: dict[str, str] = {}
        readers = [
            Thread(target=lambda name, pipe: read.setdefault(name, pipe.read()), args=each, daemon=True)
            for each in (("out", self.stdout), ("err", self.stderr))
            if each[1] is not None
        ]
        for reader in readers:
            reader.start()
        if self.stdin is not None:
            with suppress(BrokenPipeError):
                self.stdin.write(text)
            _close(self.stdin)
        self.wait(timeout)
        for reader in readers:
            reader.join(timeout)
        for pipe in (self.stdout, self.stderr):
            _close(pipe)
        return read.get("out", ""), read.get("err", "")


def _close(pipe: TextIO | None) -> None:
    # What is left to write has no reader.
    with suppress(BrokenPipeError):
        if pipe is not None:
            pipe.close()


def start(
    module: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    *,
    stdin: int = subprocess.PIPE,
    stdout: int | IO[str] = subprocess.PIPE,
    stderr: int = subprocess.PIPE,
) -> Started:
    """Start ``python -m module`` and leave it running. It is forked, unless Python must start it."""
    theirs: list[int] = []
    to_close: list[int] = []
    ours: list[TextIO | None] = []
    for number, given in enumerate((stdin, stdout, stderr)):
        if given != subprocess.PIPE:
            theirs.append(given if isinstance(given, int) else given.fileno())
            ours.append(None)
            continue
        source, sink = os.pipe()
        theirs.append(sink if number else source)
        to_close.append(theirs[-1])
        ours.append(open(source) if number else open(sink, "w"))  # noqa: PTH123, SIM115 - a descriptor; the caller closes it
    try:
        if is_worth_it(environment):
            process: Forked | subprocess.Popen[bytes] = server(environment).start(
                module,
                arguments,
                environment=environment,
                cwd=str(ROOT),
                descriptors=(theirs[0], theirs[1], theirs[2]),
            )
        else:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=theirs[0], stdout=theirs[1], stderr=theirs[2], env=environment, cwd=ROOT,
            )  # fmt: skip
    finally:
        for descriptor in to_close:
            os.close(descriptor)
    return Started(process, *ours)


def start_program(text: str, *arguments: str, **environment: str) -> Started:
    """Start a program as ``python -c`` does, with these variables alone."""
    return start("tests.support.program", [text, *arguments], {"PATH": os.defpath, **environment})


def run_program(text: str, *arguments: str, **environment: str) -> Ended:
    """Run a program as ``python -c`` does to its end, with these variables alone."""
    env = {"PATH": os.defpath, **environment}
    ran = server(env).run("tests.support.program", [text, *arguments], environment=env, cwd=str(ROOT))
    return Ended(ran.returncode, ran.stdout.decode(), ran.stderr.decode())


class Ekyc:
    """Runs the real command. `with_env` returns a copy with more variables."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.env = {"PATH": os.defpath, **env}

    def with_env(self, **more: str) -> Ekyc:
        return Ekyc(self.env | more)

    def __call__(self, *arguments: str, stdin: str | bytes = b"", timeout_s: float = 60) -> Ended:
        """Run the command to its end. Fails if it prints a traceback."""
        given = stdin.encode() if isinstance(stdin, str) else stdin
        if is_worth_it(self.env):
            ran = server(self.env).run(
                "worker.cli", arguments, environment=self.env, cwd=str(ROOT), stdin=given, timeout_s=timeout_s
            )
        else:
            command = [sys.executable, "-m", "worker.cli", *arguments]
            ran = subprocess.run(
                command,
                input=given,
                capture_output=True,
                check=False,
                env=self.env,
                cwd=ROOT,
                timeout=timeout_s,
            )
        ended = Ended(ran.returncode, ran.stdout.decode(), ran.stderr.decode())
        assert "Traceback" not in ended.out + ended.err
        return ended

    def start(
        self,
        *arguments: str,
        stdin: int = subprocess.PIPE,
        stdout: int | IO[str] = subprocess.PIPE,
        stderr: int = subprocess.PIPE,
    ) -> Started:
        """Start the command and leave it running."""
        return start("worker.cli", arguments, self.env, stdin=stdin, stdout=stdout, stderr=stderr)


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
