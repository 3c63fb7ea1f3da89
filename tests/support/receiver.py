"""A receiver of webhooks over a socket, which keeps what it gets and answers as a test tells it."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True, slots=True)
class Received:
    """One request: header names in lower case."""

    headers: dict[str, str]
    body: bytes
    path: str

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


@dataclass
class Answer:
    """What a receiver answers. `wait`: until it is set, or the receiver ends."""

    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    wait: threading.Event | None = None


@dataclass
class Receiver:
    """Answers what `answer` says about a request."""

    port: int = 0
    received: list[Received] = field(default_factory=list)
    answer: Callable[[Received], Answer] = field(default=lambda _: Answer())
    #: The most requests that were open at a time.
    most: int = 0
    #: The connections of requests that are not answered yet.
    unanswered: list[socket.socket] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def open(self) -> int:
        """How many requests are not answered yet, and not given up by their client either."""
        return sum(not is_closed(each) for each in tuple(self.unanswered))

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ids(self) -> list[str]:
        with self.lock:
            return [each.id for each in self.received]


def is_closed(connection: socket.socket) -> bool:
    """Whether the client has closed its end. Reads nothing, and does not wait."""
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that is killed resets its connection."""


@contextmanager
def receiving(answer: Callable[[Received], Answer] | None = None, port: int = 0) -> Iterator[Receiver]:
    """Run a receiver until the block ends. What it has not answered then, it never does."""
    receiver = Receiver()
    if answer is not None:
        receiver.answer = answer

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            request = Received({name.lower(): value for name, value in self.headers.items()}, body, self.path)
            with receiver.lock:
                receiver.received.append(request)
                receiver.unanswered.append(self.connection)
                # A client that gave up one request before it began this one has never had both open.
                receiver.most = max(receiver.most, receiver.open)
            try:
                self._answer(receiver.answer(request))
            except OSError:
                self.close_connection = True
            finally:
                with receiver.lock:
                    receiver.unanswered.remove(self.connection)

        def _answer(self, given: Answer) -> None:
            while given.wait is not None and not given.wait.wait(0.05):
                if receiver.ended.is_set() or is_closed(self.connection):
                    self.close_connection = True
                    return
            self.send_response(given.status)
            for name, value in given.headers.items():
                self.send_header(name, value)
            if given.status != 204:
                self.send_header("Content-Length", str(len(given.body)))
            self.end_headers()
            self.wfile.write(given.body)

        def log_message(self, *_: Any) -> None:
            pass

    server = _Server(("127.0.0.1", port), Handler)
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()
