"""Serves TCP from threads of the test's process."""

from __future__ import annotations

import socket
from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self


class TcpServer:
    """Listens on a port of its own, and runs `_serve` in a thread for each connection. A context manager."""

    def __init__(self) -> None:
        self.connections = 0
        self._threads: list[Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop accepting. Subclasses end their connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self._listener.close()

    def _serve(self, sock: socket.socket, /) -> None:
        raise NotImplementedError

    def _accepted(self, _: socket.socket, /) -> None:
        """Count a connection, before its thread starts."""
        self.connections += 1

    def _start(self, target: Callable[..., None], *args: Any) -> None:
        thread = Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self._accepted(sock)
                self._start(self._serve, sock)
