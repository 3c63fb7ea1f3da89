"""The sandbox as a server: in a thread of a test, or of the command `ekyc sandbox`.

with Sandbox() as vendor:
    settings = vendor.environment()
"""

from __future__ import annotations

import socket
import struct
import sys
import time
from contextlib import suppress
from socketserver import TCPServer, ThreadingMixIn
from threading import Condition, Event, Thread
from typing import TYPE_CHECKING, Any, Final, Self

from sandbox.app import App
from sandbox.faults import Faults, Mode
from sandbox.links import LinkSigner
from sandbox.state import State
from sandbox.tokens import ACCESS_KEY, SECRET_KEY, Tokens
from sandbox.vendor import Vendor
from sandbox.wire import Handler

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from sandbox.app import Exchange

    #: Called with every answer that was sent, and the seconds that it took.
    Log = Callable[[Exchange, float], object]

#: How often the listener looks whether it should end.
_POLL_S: Final = 0.05
#: How long its connections may take to end.
_GRACE_S: Final = 0.5

#: Close without waiting, which resets the connection.
_RESET: Final = struct.pack("ii", 1, 0)


class Listener(ThreadingMixIn, TCPServer):
    """Accepts connections; a thread for each."""

    allow_reuse_address = True
    daemon_threads = True
    #: A fleet connects all at once.
    request_queue_size = 1024

    def __init__(self, address: tuple[str, int], app: App, log: Log, stopping: Event) -> None:
        self.app = app
        self.log = log
        self._stopping = stopping
        self._open: set[socket.socket] = set()
        self._to_reset: set[socket.socket] = set()
        self._changed = Condition()
        super().__init__(address, Handler)
        host, port = self.socket.getsockname()
        #: Where a client on this machine finds us.
        self.url = f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"  # noqa: S104

    def pause(self, seconds: float) -> bool:
        """Wait. Returns early, and true, where the server is about to end."""
        return self._stopping.wait(seconds)

    def ending(self) -> bool:
        return self._stopping.is_set()

    def reset(self, connection: socket.socket) -> None:
        """Let `connection` end with a reset once its handler is done."""
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._to_reset.add(connection)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._changed:
            self._open.add(request)
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        super().process_request_thread(request, client_address)
        with self._changed:
            self._open.discard(request)
            self._changed.notify_all()

    def shutdown_request(self, request: Any) -> None:
        # A shutdown would say goodbye before the reset.
        if request not in self._to_reset:
            super().shutdown_request(request)
            return
        self._to_reset.discard(request)
        self.close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no fault of ours, and says nothing."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def hang_up(self) -> None:
        """End every connection, and wait a little for their handlers."""
        with self._changed:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            self._changed.wait_for(lambda: not self._open, timeout=_GRACE_S)


class Sandbox:
    """The vendor's stand-in. Listens from its making on, answers within ``with`` or after ``start``.

    Parameters:
      host, port: where to listen; port 0 takes a free one. Raises ``OSError`` where it cannot.
      access_key, secret_key: what the token API takes.
      token_s: how long tokens live, whatever `periodSecond` asks for; None: as it asks.
      seed: varies the course of plain ids, and which answers faults strike.
      fault_rate: the share of answers (0 to 1) that are faults at random.
      log: called with every answer that was sent.
      clock: the epoch in seconds, for courses that take time (`t5s`).
    """

    def __init__(  # noqa: PLR0913 - each is an option of the command
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        access_key: str = ACCESS_KEY,
        secret_key: str = SECRET_KEY,
        token_s: float | None = None,
        seed: int = 0,
        fault_rate: float = 0.0,
        log: Log = lambda *_: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keys = (access_key, secret_key)
        self._stopping = Event()
        self.state = State(seed=seed, clock=clock)
        vendor = Vendor(
            self.state,
            Tokens(access_key, secret_key, token_s=token_s),
            LinkSigner(secret_key),
            seed=seed,
            pause=self._stopping.wait,
        )
        self._app = App(vendor)
        if fault_rate:
            self.set_faults(Faults(Mode.MIXED, fault_rate))
        self._listener = Listener((host, port), self._app, log, self._stopping)
        self._thread = Thread(
            target=self._listener.serve_forever, args=(_POLL_S,), name="sandbox", daemon=True
        )
        self.url = self._listener.url

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End within a second, whatever is under way."""
        self._stopping.set()
        if self._thread.is_alive():
            self._listener.shutdown()
            self._thread.join()
        self._listener.server_close()
        self._listener.hang_up()

    def environment(self) -> dict[str, str]:
        """What a worker is to be told to use this sandbox."""
        access_key, secret_key = self._keys
        return {
            "ADVANCE_BASE_URL": self.url,
            "ADVANCE_ACCESS_KEY": access_key,
            "ADVANCE_SECRET_KEY": secret_key,
            "EKYC_IMAGE_ORIGINS": self.url,
        }

    def verifications(self) -> dict[str, dict[str, Any]]:
        """What `GET /sandbox/verifications` answers."""
        return self.state.verifications()

    def stats(self) -> dict[str, Any]:
        """What `GET /sandbox/stats` answers."""
        return self._app.totals()

    def set_faults(self, faults: Faults) -> None:
        """What `POST /sandbox/faults` does; ``Faults()`` ends them."""
        self._app.vendor.faults = faults
