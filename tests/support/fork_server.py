"""Commands as processes without the second that Python needs to import what they stand on.

A server process imports the libraries once and forks for each command. The child is a process like any other: its own
environment, folder, descriptors, exit status. What is ours is imported in the child. What Python itself reads at its
start (``PYTHON…``, the locale) has no effect here: `fits` says whether an environment can be given to a fork.
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
import traceback
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NoReturn

from tests.support.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Libraries that a command imports; none of them reads the environment while it is imported.
LIBRARIES: Final = (
    "celery.app",
    "celery.bin.celery",
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

#: Variables that Python or the C library read at the start of a process.
_READ_AT_START: Final = ("PYTHON", "LC_", "LANG", "LD_", "FAKETIME", "MALLOC_", "TZ")

#: Bytes of the header of a message: its length.
_HEADER: Final = struct.Struct("!I")


def fits(environment: Mapping[str, str]) -> bool:
    """Whether a forked process behaves in this environment as one that Python starts."""
    return not any(name.startswith(_READ_AT_START) for name in environment)


class ForkServer:
    """One per process of tests. Thread-safe: commands may run at once. Ends with the process that made it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        ours, theirs = socket.socketpair()
        self._socket = ours
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={"PATH": os.defpath},
                cwd=ROOT,
            )
        atexit.register(self.close)

    def close(self) -> None:
        """End the server. A second call does nothing."""
        self._socket.close()
        self._process.wait()

    def run(
        self,
        module: str,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str],
        cwd: str,
        descriptors: tuple[int, int, int],
        timeout_s: float,
    ) -> int:
        """Run ``python -m module`` to its end on `descriptors` (0, 1, 2).

        Returns the exit status as ``subprocess`` has it: -9 for a process that SIGKILL ended. Raises
        ``subprocess.TimeoutExpired`` and kills the process when it takes longer.
        """
        request = json.dumps(
            {"module": module, "arguments": list(arguments), "environment": dict(environment), "cwd": cwd}
        ).encode()
        status, theirs = socket.socketpair()
        with status:
            with theirs, self._lock:
                ancillary = array.array("i", [*descriptors, theirs.fileno()])
                self._socket.sendmsg(
                    [_HEADER.pack(len(request))], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, ancillary)]
                )
                self._socket.sendall(request)
            pid = int(status.recv(16))
            status.settimeout(timeout_s)
            try:
                return int(status.recv(16))
            except TimeoutError:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired(["python", "-m", module, *arguments], timeout_s) from None


_server: ForkServer | None = None


def server() -> ForkServer:
    """The server of this process of tests, started at the first call."""
    global _server  # noqa: PLW0603
    if _server is None:
        _server = ForkServer()
    return _server


def serve(connection: socket.socket) -> None:
    """Fork for each message until the other end is closed."""
    for name in LIBRARIES:
        import_module(name)
    gc.freeze()
    while True:
        header, descriptors, _, _ = socket.recv_fds(connection, _HEADER.size, 4)
        if not header:
            return
        request = json.loads(_exactly(connection, *_HEADER.unpack(header)))
        # The middle process waits for the command and reports how it ended, so that commands can run at once.
        if os.fork() == 0:
            _supervise(request, descriptors, connection)
        for descriptor in descriptors:
            os.close(descriptor)
        _reap()


def _exactly(connection: socket.socket, size: int) -> bytes:
    read = bytearray()
    while len(read) < size:
        read += connection.recv(size - len(read))
    return bytes(read)


def _reap() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _supervise(request: dict[str, Any], descriptors: list[int], connection: socket.socket) -> NoReturn:
    connection.close()
    *standard, status_fd = descriptors
    pid = os.fork()
    if pid == 0:
        os.close(status_fd)
        _become(request, standard)
    for descriptor in standard:
        os.close(descriptor)
    os.write(status_fd, str(pid).encode().ljust(16))
    _, status = os.waitpid(pid, 0)
    os.write(status_fd, str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _become(request: dict[str, Any], standard: list[int]) -> NoReturn:
    """Run the module in this process as Python would."""
    for target, descriptor in enumerate(standard):
        os.dup2(descriptor, target)
    for descriptor in standard:
        os.close(descriptor)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    # In the C locale Python sets the last one at its start (PEP 538).
    os.environ.update(request["environment"], LC_CTYPE="C.UTF-8")
    os.chdir(request["cwd"])
    sys.path[0] = request["cwd"]
    sys.argv = [request["module"], *request["arguments"]]
    # Python's choice in the C locale (PEP 540).
    sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0)), encoding="utf-8", errors="surrogateescape")
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        raw = io.BufferedWriter(io.FileIO(descriptor, "w"))
        errors = "surrogateescape" if name == "stdout" else "backslashreplace"
        stream = io.TextIOWrapper(raw, encoding="utf-8", errors=errors, line_buffering=os.isatty(descriptor))
        setattr(sys, name, stream)
    code: object = 0
    interrupted = False
    try:
        runpy.run_module(request["module"], run_name="__main__", alter_sys=True)
    except SystemExit as error:
        code = error.code
    except BaseException as error:  # noqa: BLE001
        traceback.print_exc()
        code = 1
        interrupted = isinstance(error, KeyboardInterrupt)
    if isinstance(code, str):
        print(code, file=sys.stderr)  # noqa: T201
    atexit._run_exitfuncs()
    for written in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            written.flush()
    if interrupted:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(code if isinstance(code, int) else 1 if code else 0)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
