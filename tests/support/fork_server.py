"""Starts commands as processes without the second that Python needs to import what they stand on.

A server process imports the libraries once and forks for each command. The child is a process like any other, with its
own environment, folder, session and exit status; it imports our own code itself, and Python ends it in its usual way.
"""

from __future__ import annotations

import array
import atexit
import gc
import io
import json
import os
import runpy
import signal
import socket
import struct
import subprocess
import sys
import threading
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from tests.support.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Libraries that commands import. None of them reads the environment while it is imported, nor starts a thread.
LIBRARIES: Final = (
    "celery.app",
    "celery.apps.worker",
    "celery.bin.celery",
    "celery.concurrency.thread",
    "celery.worker.consumer",
    "click",
    "getpass",
    "kombu.transport.redis",
    "marshmallow",
    "pycurl",
    "redis",
    "requests",
    "rich.live",
    "rich.table",
    "rich.traceback",
    "structlog",
    "tomllib",
)

#: The beginnings of variables that Python or the C library reads at the start of a process.
_READ_AT_START: Final = ("FAKETIME", "LANG", "LC_", "LD_", "MALLOC_", "PYTHON", "TZ")

#: The header of a message: its length in bytes.
_HEADER: Final = struct.Struct("!I")

#: The length of each number that a child's supervisor sends: its pid, then its exit status.
_NUMBER: Final = 16


class Forked:
    """A child of the server. It has what tests use of ``subprocess.Popen``."""

    def __init__(self, args: Sequence[str], status: socket.socket) -> None:
        self.args = args
        self.returncode: int | None = None
        self._status = status
        self.pid = int(status.recv(_NUMBER))

    def poll(self) -> int | None:
        """The exit status, as ``subprocess`` has it; None while it runs."""
        return self._read(0.0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the exit status. Raises ``subprocess.TimeoutExpired``."""
        code = self._read(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal. Nothing happens once the process has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _read(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            self._status.settimeout(timeout)
            try:
                self.returncode = int(self._status.recv(_NUMBER))
            except (BlockingIOError, TimeoutError):
                return None
            self._status.close()
        return self.returncode


class ForkServer:
    """Forks for each command. Thread-safe. It ends with the process that made it."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._lock = threading.Lock()
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], env=environment, cwd=ROOT,
            )  # fmt: skip
        atexit.register(self.close)

    def close(self) -> None:
        """End the server; its children go on. A second call does nothing."""
        self._socket.close()
        self._process.wait()

    def start(
        self,
        module: str,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str],
        cwd: str,
        descriptors: tuple[int, int, int],
        new_session: bool = False,
    ) -> Forked:
        """Start ``python -m module`` with `descriptors` as its standard input, output and error."""
        message = {
            "module": module,
            "arguments": list(arguments),
            "environment": dict(environment),
            "cwd": cwd,
            "new_session": new_session,
        }
        body = json.dumps(message).encode()
        ours, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
        with theirs, self._lock:
            passed = array.array("i", [*descriptors, theirs.fileno()])
            self._socket.sendmsg([_HEADER.pack(len(body))], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, passed)])
            self._socket.sendall(body)
        return Forked(["python", "-m", module, *arguments], ours)


_servers: dict[tuple[tuple[str, str], ...], ForkServer] = {}


def server(environment: Mapping[str, str]) -> ForkServer:
    """The server for commands in this environment: one for each set of variables that Python reads at its start."""
    at_start = {name: value for name, value in environment.items() if name.startswith(_READ_AT_START)}
    key = tuple(sorted(at_start.items()))
    if key not in _servers:
        _servers[key] = ForkServer({"PATH": os.defpath} | at_start)
    return _servers[key]


def serve(connection: socket.socket) -> None:
    """Fork for each message until the other end is closed. Returns also in the child, which is then the command."""
    for name in LIBRARIES:
        import_module(name)
    gc.freeze()
    while True:
        header, descriptors, _, _ = socket.recv_fds(connection, _HEADER.size, 4)
        if not header:
            return
        message = json.loads(_exactly(connection, *_HEADER.unpack(header)))
        # A supervisor waits for the command and sends how it ended, so that many commands can run.
        if os.fork() == 0:
            connection.close()
            _supervise(message, descriptors)
            return
        for descriptor in descriptors:
            os.close(descriptor)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _exactly(connection: socket.socket, size: int) -> bytes:
    read = bytearray()
    while len(read) < size:
        read += connection.recv(size - len(read))
    return bytes(read)


def _supervise(message: dict[str, Any], descriptors: list[int]) -> None:
    """Fork the command. Returns in the command alone."""
    *standard, status_fd = descriptors
    pid = os.fork()
    if pid == 0:
        os.close(status_fd)
        _become(message, standard)
        return
    for descriptor in standard:
        os.close(descriptor)
    # Its parent may be gone, and Ctrl-C is for the command.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    with suppress(OSError):
        os.write(status_fd, str(pid).encode())
    _, status = os.waitpid(pid, 0)
    with suppress(OSError):
        os.write(status_fd, str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _become(message: dict[str, Any], standard: list[int]) -> None:
    """Make this process what the message asks for, and run its module."""
    if message["new_session"]:
        os.setsid()
    for target, descriptor in enumerate(standard):
        os.dup2(descriptor, target)
        os.close(descriptor)
    os.chdir(message["cwd"])
    given = message["environment"]
    os.environ.clear()
    os.environ.update(given)
    if not any(name.startswith(("LANG", "LC_")) for name in given):
        os.environ["LC_CTYPE"] = "C.UTF-8"  # As Python does in the C locale: PEP 538.
    sys.path[0] = message["cwd"]
    sys.argv = [message["module"], *message["arguments"]]
    for name, descriptor in (("stdin", 0), ("stdout", 1), ("stderr", 2)):
        old = getattr(sys, name)
        raw = io.FileIO(descriptor, "r" if name == "stdin" else "w", closefd=False)
        buffer = io.BufferedReader(raw) if name == "stdin" else io.BufferedWriter(raw)
        stream = io.TextIOWrapper(
            buffer,
            encoding=old.encoding, errors=old.errors,
            line_buffering=name == "stderr" or (name == "stdout" and os.isatty(descriptor)),
        )  # fmt: skip
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    runpy.run_module(message["module"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
