"""Gunicorn's threaded worker, changed so that a client that sends its head or closes slowly delays no other client.

Gunicorn gives a connection to a thread once its first byte has arrived, and the thread waits for the rest without a
limit: as many slow clients as there are threads block all others. Here the loop that accepts connections also reads
their heads, and a thread gets a request whose head is complete.
"""

from __future__ import annotations

import selectors
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from gunicorn.workers.gthread import ThreadWorker

if TYPE_CHECKING:
    import socket
    from concurrent.futures import Future

    from gunicorn.workers.gthread import TConn

#: How long a client may take to send its head, in seconds. Then its connection is closed.
HEAD_S: Final = 5.0

#: A longer head goes to gunicorn's parser incomplete, which refuses it.
LONGEST_HEAD: Final = 65_536

_END: Final = b"\r\n\r\n"


#: The number of threads that close connections: gunicorn waits up to 2 s for the client to close its end first.
CLOSERS: Final = 8


class SlowHeadsWorker(ThreadWorker):  # type: ignore[misc]
    """The class that `worker_class` names. With TLS, whose handshake needs a thread, it works like gunicorn's own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.closers = ThreadPoolExecutor(CLOSERS, "close")

    def enqueue_req(self, conn: TConn) -> None:
        """Wait for the head of a request, on a new or a kept connection."""
        if self.cfg.is_ssl:
            super().enqueue_req(conn)
            return
        head = bytearray(conn.parser.unreader.take_buffered() if conn.initialized else b"")
        if _complete(head):
            self._submit(conn, head)
            return
        conn.sock.settimeout(0)
        # Gunicorn closes connections in `pending_conns` whose timeout has passed.
        conn.timeout = time.monotonic() + HEAD_S
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._read, conn, head))

    def finish_request(self, conn: TConn, fs: Future[Any]) -> None:
        """Close a connection in another thread, because the loop would wait for its client."""
        if fs.cancelled() or fs.exception() or fs.result() is not False:
            super().finish_request(conn, fs)
            return
        closed = self.closers.submit(conn.close, graceful=True)
        closed.add_done_callback(lambda _: self.method_queue.defer(self._closed))

    def _closed(self) -> None:
        self.nr_conns -= 1

    def _read(self, conn: TConn, head: bytearray, sock: socket.socket) -> None:
        try:
            read = sock.recv(LONGEST_HEAD)
        except BlockingIOError:
            return
        except OSError:
            read = b""
        head += read
        if head[:1] in b"\r\n":
            # Empty lines before a request have no meaning, but would look like the end of its head.
            head[:] = head.lstrip(b"\r\n")
        if read and not _complete(head, new=len(read)) and len(head) < LONGEST_HEAD:
            return
        self.poller.unregister(sock)
        self.pending_conns.remove(conn)
        self._submit(conn, head)

    def _submit(self, conn: TConn, head: bytearray) -> None:
        conn.init()
        conn.parser.unreader.unread(bytes(head))
        conn.data_ready = True
        super().enqueue_req(conn)


def _complete(head: bytearray, new: int | None = None) -> bool:
    """Whether the head is complete. `new`: how many of its bytes have just arrived."""
    start = 0 if new is None else max(0, len(head) - new - len(_END))
    return head.find(_END, start) >= 0
