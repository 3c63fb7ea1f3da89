"""Starts commands as processes without the one or two seconds that Python needs to import what they stand on.

A server process imports libraries and most of our modules once, and forks for each command. The child is a process like
any other, with its own environment, folder, session and exit status, and Python ends it in its usual way.
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
from tempfile import TemporaryFile
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
    "cryptography.hazmat.primitives.asymmetric.ed25519",
    "flask",
    "flask_smorest",
    "getpass",
    "gevent",
    "gunicorn.app.wsgiapp",
    "gunicorn.workers.gthread",
    "kombu.transport.redis",
    "marshmallow",
    "obstore",
    "prometheus_client",
    "pycurl",
    "redis",
    "requests",
    "rich.live",
    "rich.table",
    "rich.traceback",
    "structlog",
    "tomllib",
)

#: Modules of ours that commands import. While they are imported, none of them starts a thread, keeps what each process
#: must have of its own, or reads a variable of the environment other than those of `READ_BY_OURS`.
OWN: Final = (
    "worker.advance.client",
    "worker.cli.commands",
    "worker.cli.doctor",
    "worker.cli.enqueue",
    "worker.cli.stats",
    "worker.cli.status",
    "worker.decisions.delivery",
    "worker.decisions.webhooks",
    "worker.evidence.verification",
    "worker.messaging.unread",
    "worker.observability.metrics",
    "worker.web.api.application",
    "worker.web.slow_heads",
)

#: A command with one of these variables must be started by Python.
READ_BY_OURS: Final = frozenset({"CURL_SSL_BACKEND", "OPENSSL_CONF", "SSLKEYLOGFILE"})

#: The beginnings of variables that Python or the C library reads at the start of a process.
_LOCALE: Final = ("LANG", "LC_")
#: Python behaves without a locale as with this one: PEP 538.
_AS_NONE: Final = ("LANG", "C.UTF-8")
_READ_AT_START: Final = ("FAKETIME", *_LOCALE, "LD_", "MALLOC_", "PYTHON", "TZ")

#: The header of a message: its length in bytes.
_HEADER: Final = struct.Struct("!I")

#: The length of each number that a child's supervisor sends: its pid, then its exit status.
_NUMBER: Final = 16


class Forked:
    """A child of the server. It has what tests use of ``subprocess.Popen``. Thread-safe."""

    def __init__(self, args: Sequence[str], status: socket.socket) -> None:
        self.args = args
        self.returncode: int | None = None
        self._status = status
        self._lock = threading.Lock()
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
        with self._lock:
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
        if found := READ_BY_OURS & environment.keys():
            raise ValueError(f"the imports of the server have not seen {', '.join(sorted(found))}")
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

    def run(
        self,
        module: str,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str],
        cwd: str,
        stdin: bytes = b"",
        timeout_s: float = 60.0,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run ``python -m module`` to its end. Raises ``subprocess.TimeoutExpired``."""
        # Files, not pipes: a command that writes much needs no reader.
        with TemporaryFile() as source, TemporaryFile() as out, TemporaryFile() as err:
            source.write(stdin)
            source.seek(0)
            command = self.start(
                module,
                arguments,
                environment=environment,
                cwd=cwd,
                descriptors=(source.fileno(), out.fileno(), err.fileno()),
            )
            try:
                code = command.wait(timeout_s)
            finally:
                command.kill()
                command.wait()
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(command.args, code, out.read(), err.read())


def is_worth_it(environment: Mapping[str, str]) -> bool:
    """Whether the server for this environment serves other tests, too: it takes two seconds of CPU to start."""
    return not any(name.startswith(_READ_AT_START) for name in environment if not name.startswith(_LOCALE))


_servers: dict[tuple[tuple[str, str], ...], ForkServer] = {}


def server(environment: Mapping[str, str]) -> ForkServer:
    """The server for commands in this environment: one for each set of variables that Python reads at its start."""
    at_start = {
        name: value
        for name, value in environment.items()
        if name.startswith(_READ_AT_START) and (name, value) != _AS_NONE
    }
    key = tuple(sorted(at_start.items()))
    if key not in _servers:
        _servers[key] = ForkServer({"PATH": os.defpath} | at_start)
    return _servers[key]


def serve(connection: socket.socket) -> None:
    """Fork for each message until the other end is closed. Returns also in the child, which is then the command."""
    # Ctrl-C in a terminal reaches it, too, and is for the process that started it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in (*LIBRARIES, *OWN):
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
    signal.signal(signal.SIGINT, signal.default_int_handler)
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
