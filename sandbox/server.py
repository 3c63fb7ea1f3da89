"""The sandbox as a server: in a thread of a test or of the command `ekyc sandbox`.

Example::

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
from sandbox.callbacks import Callbacks, CallbackSettings
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

    #: Called with every answer that was sent, and its duration in seconds.
    Log = Callable[[Exchange, float], object]

#: How often the listener checks whether it should stop.
_POLL_S: Final = 0.05
#: How long connections may take to close when the server stops.
_GRACE_S: Final = 0.5

#: `SO_LINGER` of zero seconds: closing the socket resets the connection.
_RESET: Final = struct.pack("ii", 1, 0)


class Listener(ThreadingMixIn, TCPServer):
    """Accepts connections, with a thread for each."""

    allow_reuse_address = True
    daemon_threads = True
    #: All connections of a fleet may come at once.
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
        #: The URL for a client on this machine.
        self.url = f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"  # noqa: S104

    def pause(self, seconds: float) -> bool:
        """Wait for `seconds`. Return true, early, if the server is stopping."""
        return self._stopping.wait(seconds)

    def ending(self) -> bool:
        return self._stopping.is_set()

    def reset(self, connection: socket.socket) -> None:
        """Reset `connection` once its handler has ended."""
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
        # A shutdown would send a FIN before the reset.
        if request not in self._to_reset:
            super().shutdown_request(request)
            return
        self._to_reset.discard(request)
        self.close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that closed their connection; report other errors."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def hang_up(self) -> None:
        """Shut down every connection, and wait up to 0.5 s for the handlers."""
        with self._changed:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            self._changed.wait_for(lambda: not self._open, timeout=_GRACE_S)


class Sandbox:
    """A stand-in for the vendor. Listens once it is constructed, and answers within ``with`` or after ``start``.

    Parameters:
      host, port: where to listen; port 0 takes a free one. Raises ``OSError`` if it cannot listen there.
      access_key, secret_key: the keys that the token API accepts.
      token_s: the lifetime of tokens, whatever `periodSecond` asks for; None: as it asks.
      seed: varies the scenarios of plain ids, and which answers are random faults.
      fault_rate: the share of answers (0 to 1) that are random faults.
      callbacks: where the vendor's callbacks go. Raises ``ValueError`` for a URL that is not one.
      log: called with every answer that was sent.
      clock: returns the epoch in seconds, for scenarios that take time (`t5s`).
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
        callbacks: CallbackSettings | None = None,
        log: Log = lambda *_: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keys = (access_key, secret_key)
        self._stopping = Event()
        self.state = State(seed=seed, clock=clock)
        self._callbacks = Callbacks(callbacks or CallbackSettings())
        vendor = Vendor(
            self.state,
            Tokens(access_key, secret_key, token_s=token_s),
            LinkSigner(secret_key),
            self._callbacks,
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
        """Stop within a second, whatever is in flight."""
        self._stopping.set()
        self._callbacks.stop()
        if self._thread.is_alive():
            self._listener.shutdown()
            self._thread.join()
        self._listener.server_close()
        self._listener.hang_up()

    def environment(self) -> dict[str, str]:
        """Return the environment variables with which a worker uses this sandbox."""
        access_key, secret_key = self._keys
        return {
            "ADVANCE_BASE_URL": self.url,
            "ADVANCE_ACCESS_KEY": access_key,
            "ADVANCE_SECRET_KEY": secret_key,
            "EKYC_IMAGE_ORIGINS": self.url,
        }

    def verifications(self) -> dict[str, dict[str, Any]]:
        """Return the content of `GET /sandbox/verifications`."""
        return self.state.verifications()

    def stats(self) -> dict[str, Any]:
        """Return the content of `GET /sandbox/stats`."""
        return self._app.totals()

    def set_faults(self, faults: Faults) -> None:
        """Set the faults of the whole vendor, as `POST /sandbox/faults` does; ``Faults()`` ends them."""
        self._app.vendor.faults = faults
