"""Gunicorn's threaded worker, changed so that a client that sends, reads or closes slowly delays no other client.

Gunicorn gives a connection to a thread once its first byte has arrived, and the thread waits for the rest without a
limit: as many slow clients as there are threads block all others. Here the loop that accepts connections also reads
requests. A thread gets a request whose head is complete, and whose body is complete if its length is acceptable: see
`is_buffered`. No thread waits for a body. What a client does not read of its response at once, the loop sends.
"""

from __future__ import annotations

import errno
import re
import selectors
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import structlog
from gunicorn.workers.gthread import ThreadWorker

from worker.process import place_of
from worker.web.api.problems import INTERNAL, Problem
from worker.web.outgoing import Client
from worker.web.refusals import BODY_CUT, SERVER_BUSY, as_bytes, kind_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from concurrent.futures import Future

    from gunicorn.http.message import Request
    from gunicorn.workers.gthread import TConn

    from worker.web.outgoing import Outgoing

_log = structlog.get_logger(__name__)

#: How long a client may take to send its head, in seconds. Then its connection is closed.
HEAD_S: Final = 5.0

#: The same for a body, from the end of its head.
BODY_S: Final = 15.0

#: The same for reading a response, from the moment at which it is complete.
SEND_S: Final = 15.0

#: A longer head goes to gunicorn's parser incomplete, which refuses it.
LONGEST_HEAD: Final = 65_536

#: The longest body that is read. A longer one is not read at all.
LONGEST_BODY: Final = 2 * 1024 * 1024

#: Bytes of bodies in memory, of requests that are being read or answered. Above it, the largest that is not complete is
#: refused: a client without a token, whose body is never complete, keeps no other from sending a smaller one.
MOST_BUFFERED: Final = 64 * 1024 * 1024

#: What accept raises when there are too many open files, or no memory for a further connection.
_NO_ROOM: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

#: How long no connection is accepted after that, in seconds.
ACCEPT_PAUSE_S: Final = 1.0

#: How often timeouts of connections are checked.
CHECK_S: Final = 1.0

_END: Final = b"\r\n\r\n"

#: The headers that say how long a body is, and whether the client waits before it sends one.
_ABOUT_BODY: Final = re.compile(
    rb"^(content-length|transfer-encoding|expect):[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE
)
_LENGTH: Final = re.compile(r"[0-9]{1,10}")

#: The beginning of a request that a thread of its own answers: it must not wait behind requests that wait for Redis.
_PROBE: Final = re.compile(rb"(?:GET|HEAD) /healthz[ ?]")

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

#: How long a client may take to close its end, in seconds, and the bytes of it that are dropped meanwhile. A connection
#: that is closed at once, with bytes of the client unread, would take the last response from it.
LINGER_S: Final = 2.0
LINGER_BYTES: Final = 65_536

#: The most connections that wait for that: they count for gunicorn's limit of connections. Then the oldest is closed.
MOST_LINGERING: Final = 128


def has_body(headers: Iterable[tuple[str, str]]) -> bool:
    """Whether a request with these headers has a body."""
    return any(name.lower() in {"content-length", "transfer-encoding"} for name, _ in headers)


def is_buffered(headers: Iterable[tuple[str, str]]) -> bool:
    """Whether the body of a request with these headers is in memory before a thread has it."""
    about = [(name.lower(), value) for name, value in headers]
    lengths = [value.strip(" \t") for name, value in about if name == "content-length"]
    if any(name == "transfer-encoding" for name, _ in about):
        return False
    return len(lengths) == 1 and acceptable_length(lengths[0]) is not None


class SlowHeadsWorker(ThreadWorker):  # type: ignore[misc]
    """The class that `worker_class` names. With TLS, whose handshake needs a thread, it works like gunicorn's own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.probes = ThreadPoolExecutor(1, "probes")
        #: Bytes received of the request of each connection whose body came apart from its head, and of all together.
        self.bodies: dict[TConn, int] = {}
        self.buffered = 0
        #: Those of them whose body is not complete.
        self.arriving: set[TConn] = set()
        #: What is not sent yet of the responses of connections.
        self.outgoing: dict[TConn, Outgoing] = {}
        #: Connections that wait for their client to close, the oldest first, and the bytes that each may still send.
        self.lingering: dict[TConn, int] = {}
        self.checked_at = 0.0
        self.accept_at = 0.0

    def accept(self, listener: socket.socket) -> None:
        """Accept a connection. Without room for it, wait until others are closed: gunicorn would end the process."""
        try:
            super().accept(listener)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            _log.warning("connections_refused", why=errno.errorcode[error.errno])
            for conn in list(self.lingering):
                self._drop(conn)
            self.accept_at = time.monotonic() + ACCEPT_PAUSE_S
            self.set_accept_enabled(enabled=False)

    def set_accept_enabled(self, enabled: bool) -> None:  # noqa: FBT001 - gunicorn's
        if not enabled or time.monotonic() >= self.accept_at:
            super().set_accept_enabled(enabled)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Handle what has happened, except on a connection that an event of the same moment has ended or taken over."""
        for key, _ in self.poller.select(timeout):
            if self.poller.get_map().get(key.fd) is key:
                key.data(key.fileobj)

    def enqueue_req(self, conn: TConn) -> None:
        """Wait for the head of a request, on a new or a kept connection."""
        if self.cfg.is_ssl:
            super().enqueue_req(conn)
            return
        incoming = _Incoming(conn.parser.unreader.take_buffered() if conn.initialized else b"")
        if incoming.is_complete:
            self._submit(conn, incoming)
            return
        conn.sock.settimeout(0)
        # Until the head shows that a body follows.
        conn.timeout = time.monotonic() + HEAD_S
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._read, conn, incoming))
        if incoming.end is not None:
            self._await_body(conn, incoming)
            self._hold(conn, incoming)

    def handle_request(self, req: Request, conn: TConn) -> bool:
        """Answer a request in a thread, which sends only what the client takes at once."""
        if self.cfg.is_ssl:
            return bool(super().handle_request(req, conn))
        client = Client(conn)
        kept = bool(super().handle_request(req, client))
        if not client.sock.flush():
            self.outgoing[conn] = client.sock
        return kept

    def handle_error(self, req: Request | None, client: socket.socket, addr: Any, exc: BaseException) -> None:
        """Answer what is no request, or ended in a bug, with a problem. Nothing that was sent is repeated or logged."""
        del req, addr
        kind = kind_of(exc)
        if kind is INTERNAL:
            _log.error("request_failed", error=type(exc).__name__, at=place_of(exc))
        else:
            _log.warning("request_refused", kind=kind.slug)
        with suppress(OSError):
            client.send(as_bytes(Problem(kind)), 0 if self.cfg.is_ssl else socket.MSG_DONTWAIT)

    def finish_request(self, conn: TConn, fs: Future[Any]) -> None:
        """Send the rest of the response, before the next request of the connection."""
        self._release(conn)
        outgoing = self.outgoing.pop(conn, None)
        if outgoing is None:
            self._finish(conn, fs)
            return
        conn.sock.settimeout(0)
        conn.timeout = time.monotonic() + SEND_S
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_WRITE, partial(self._send, conn, outgoing, fs))

    def _send(self, conn: TConn, outgoing: Outgoing, fs: Future[Any], sock: socket.socket) -> None:
        try:
            if not outgoing.flush():
                return
        except OSError:
            self._drop(conn)
            return
        self.poller.unregister(sock)
        self.pending_conns.remove(conn)
        self._finish(conn, fs)

    def _finish(self, conn: TConn, fs: Future[Any]) -> None:
        if fs.cancelled() or fs.exception() or fs.result() is not False:
            super().finish_request(conn, fs)
        else:
            self._linger(conn)

    def _linger(self, conn: TConn) -> None:
        """Close a connection once its client has closed its end (RFC 9112, section 9.6)."""
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.nr_conns -= 1
            conn.close()
            return
        conn.sock.settimeout(0)
        conn.timeout = time.monotonic() + LINGER_S
        self.pending_conns.append(conn)
        self.lingering[conn] = LINGER_BYTES
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._drain, conn))
        if len(self.lingering) > MOST_LINGERING:
            self._drop(next(iter(self.lingering)))

    def _drain(self, conn: TConn, sock: socket.socket) -> None:
        try:
            read = len(sock.recv(LINGER_BYTES))
        except BlockingIOError:
            return
        except OSError:
            read = 0
        self.lingering[conn] -= read
        if not read or self.lingering[conn] < 0:
            self._drop(conn)

    def murder_pending(self) -> None:
        """Close connections whose timeout has passed. They are in no order: heads and bodies differ."""
        now = time.monotonic()
        if now < self.checked_at + CHECK_S:
            return
        self.checked_at = now
        for conn in [conn for conn in self.pending_conns if conn.timeout <= now]:
            self._drop(conn)

    def _read(self, conn: TConn, incoming: _Incoming, sock: socket.socket) -> None:
        try:
            read = sock.recv(LONGEST_HEAD)
        except BlockingIOError:
            return
        except OSError:
            read = b""
        had_head = incoming.end is not None
        if not read and incoming.end:
            # At once and by no thread: others need its room.
            self._refuse(conn, BODY_CUT)
            return
        incoming.add(read)
        if read and not incoming.is_complete:
            if incoming.end is not None:
                if not had_head:
                    self._await_body(conn, incoming)
                self._hold(conn, incoming)
            return
        self.poller.unregister(sock)
        self.pending_conns.remove(conn)
        if conn in self.arriving:
            self.arriving.remove(conn)
            self._hold(conn, incoming)
        self._submit(conn, incoming)

    def _await_body(self, conn: TConn, incoming: _Incoming) -> None:
        conn.timeout = time.monotonic() + BODY_S
        self.arriving.add(conn)
        if incoming.expects_continue:
            with suppress(OSError):
                conn.sock.send(_CONTINUE)

    def _hold(self, conn: TConn, incoming: _Incoming) -> None:
        """Count what was received, and refuse the largest incomplete requests while it is too much."""
        received = len(incoming.read)
        self.buffered += received - self.bodies.get(conn, 0)
        self.bodies[conn] = received
        while self.buffered > MOST_BUFFERED and self.arriving:
            self._refuse(max(self.arriving, key=self.bodies.__getitem__), SERVER_BUSY)

    def _refuse(self, conn: TConn, answer: bytes) -> None:
        with suppress(OSError):
            conn.sock.send(answer)
        self.poller.unregister(conn.sock)
        self.pending_conns.remove(conn)
        self._release(conn)
        self._linger(conn)

    def _release(self, conn: TConn) -> None:
        self.arriving.discard(conn)
        self.buffered -= self.bodies.pop(conn, 0)

    def _drop(self, conn: TConn) -> None:
        with suppress(OSError, KeyError, ValueError):
            self.poller.unregister(conn.sock)
        self.pending_conns.remove(conn)
        self.lingering.pop(conn, None)
        self._release(conn)
        self.nr_conns -= 1
        conn.close()

    def _submit(self, conn: TConn, incoming: _Incoming) -> None:
        conn.init()
        conn.parser.unreader.unread(bytes(incoming.read))
        conn.data_ready = True
        threads = self.probes if _PROBE.match(incoming.read) else self.tpool
        done = threads.submit(self.handle, conn)
        done.add_done_callback(lambda done: self.method_queue.defer(self.finish_request, conn, done))


class _Incoming:
    """What was read of a request so far.

    `end` is the length of the request once its head is complete; 0 if it goes to gunicorn's parser as it is.
    """

    def __init__(self, read: bytes) -> None:
        self.read = bytearray()
        self.end: int | None = None
        self.body_bytes = 0
        self.expects_continue = False
        self.add(read)

    @property
    def is_complete(self) -> bool:
        return len(self.read) >= (LONGEST_HEAD if self.end is None else self.end)

    def add(self, new: bytes) -> None:
        self.read += new
        if self.end is not None:
            return
        if self.read[:1] in b"\r\n":
            # Empty lines before a request have no meaning, but would look like the end of its head.
            self.read[:] = self.read.lstrip(b"\r\n")
        head = self.read.find(_END, max(0, len(self.read) - len(new) - len(_END)))
        if head >= 0:
            self._read_head(head + len(_END))

    def _read_head(self, length: int) -> None:
        about = [
            (name.lower(), value.strip(b" \t"))
            for name, value in _ABOUT_BODY.findall(self.read[: length - len(_END)])
        ]
        lengths = [value for name, value in about if name == b"content-length"]
        body_bytes = acceptable_length(lengths[0].decode("latin-1")) if len(lengths) == 1 else None
        if body_bytes is None or any(name == b"transfer-encoding" for name, _ in about):
            self.end = 0
            return
        self.end, self.body_bytes = length + body_bytes, body_bytes
        self.expects_continue = (b"expect", b"100-continue") in [
            (name, value.lower()) for name, value in about
        ]


def acceptable_length(length: str) -> int | None:
    """The length of a body that is read; None for one that is not."""
    if not _LENGTH.fullmatch(length) or int(length) > LONGEST_BODY:
        return None
    return int(length)
