"""What a thread writes of a response, kept until the client takes it: so no thread waits for a slow client."""

from __future__ import annotations

import errno
import os
import select
import socket
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from typing import Any

#: The most pieces of one system call. Linux takes 1,024.
_PIECES: Final = 64


class Outgoing:
    """Stands for the socket of a connection where gunicorn writes a response. `flush` sends what was written."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._pieces: deque[memoryview] = deque()

    def sendall(self, data: bytes) -> None:
        if data:
            self._pieces.append(memoryview(data))

    def send(self, data: bytes) -> int:
        """Drop a `100 Continue`: the loop that reads bodies has sent it where one is needed."""
        return len(data)

    def flush(self) -> bool:
        """Send as much as the client takes now. Whether this was all. Raises ``OSError`` if the connection is gone."""
        while self._pieces:
            try:
                sent = self._sock.sendmsg(list(islice(self._pieces, _PIECES)), [], socket.MSG_DONTWAIT)
            except BlockingIOError:
                return False
            while self._pieces and sent >= len(self._pieces[0]):
                sent -= len(self._pieces.popleft())
            if sent:
                self._pieces[0] = self._pieces[0][sent:]
        return True

    def drain(self, most: int, patience_s: float) -> None:
        """Wait until at most `most` bytes are left, for an answer that is made meanwhile.

        Raises ``OSError`` if the connection is gone, or the client takes nothing for `patience_s`.
        """
        left = self._left()
        while left > most and not self.flush():
            before, left = left, self._left()
            if left == before and not self._is_writable(patience_s):
                raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))

    def _left(self) -> int:
        return sum(map(len, self._pieces))

    def _is_writable(self, timeout_s: float) -> bool:
        poll = select.poll()
        poll.register(self._sock, select.POLLOUT)
        return bool(poll.poll(timeout_s * 1000))

    def shutdown(self, how: int) -> NoReturn:
        """Refuse: gunicorn would wait for the client, in a thread, after an error within a response."""
        del how
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    def close(self) -> None:
        """Do nothing: the loop closes the connection."""


class Client:
    """The connection that gunicorn's `handle_request` gets."""

    def __init__(self, conn: Any) -> None:
        self.sock = Outgoing(conn.sock)
        self.client = conn.client
        self.server = conn.server
