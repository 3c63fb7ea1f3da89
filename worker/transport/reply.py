"""A response as it comes out of a socket, by a reader of HTTP/1.1 of our own.

Measured by `benchmarks/call.py`, CPU of a small POST over a connection that is kept: 557 µs by `requests.Session`, of
which 216 by `urllib3` below it, and 141 by a session of ours. Why, and what was tried: docs/adr/0009-http-reader.md.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from http.client import HTTPException, IncompleteRead, RemoteDisconnected
from typing import TYPE_CHECKING, Final

from worker.transport.body import BodyTooLarge
from worker.transport.head import MAX_FIELDS, Head, read_head

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

#: Asked of the socket at a time: an answer of the vendor comes whole, a photo in a few pieces.
RECEIVE_BYTES: Final = 64 * 1024

#: Of a head, or of one line between chunks. Servers commonly bound a head to 8 or 16 kB.
MAX_LINE_BYTES: Final = 64 * 1024

_BLANK_LINE: Final = re.compile(rb"\r?\n\r?\n")
_CHUNK_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?", re.DOTALL)


class Reply:
    """The answer to a request that has just been sent. Its head is read at once, its body by `body`.

    Both raise ``http.client.HTTPException`` for what is no HTTP, ``IncompleteRead`` of these where it is cut off, and
    what the socket raises.

    Parameters:
        give_back: called once, by `close`, with this reply.
    """

    def __init__(self, sock: socket.socket, give_back: Callable[[Reply], None]) -> None:
        self._sock = sock
        self._give_back: Callable[[Reply], None] | None = give_back
        # What has come and is not read yet begins at `_at`.
        self._buffer, self._at = b"", 0
        self._whole = False
        self.head = self._final_head()

    def body(self, max_bytes: int) -> bytes:
        """The body as it travelled. Raises ``BodyTooLarge`` as soon as it is known to be that."""
        length = self.head.length
        if self.head.chunked:
            body = self._chunks(max_bytes)
        elif length is None:
            body = self._rest(max_bytes)
        elif length <= max_bytes:
            body = self._exactly(length)
        else:
            raise BodyTooLarge
        self._whole = True
        return body

    @property
    def leaves_usable(self) -> bool:
        """Whether the connection may be used again: all of this was read, and nothing came behind it.

        Or the rest of one answer would be read as the start of the next, which is another person's.
        """
        return self.head.kept and self._whole and self._at == len(self._buffer)

    def close(self) -> None:
        """Give the connection back. Done twice, it does nothing the second time."""
        give_back, self._give_back = self._give_back, None
        if give_back:
            give_back(self)

    def _final_head(self) -> Head:
        while True:
            while not (end := _BLANK_LINE.search(self._buffer, self._at)):
                self._receive_head()
            head = read_head(self._buffer[self._at : end.start()].decode("latin-1"))
            self._at = end.end()
            if head.status >= HTTPStatus.OK:  # before it, a server may say that it is at work
                return head

    def _receive_head(self) -> None:
        begun = self._buffer[self._at :]
        lines = begun.count(b"\n")
        if lines > MAX_FIELDS or (lines and not begun.startswith(b"HTTP/")):
            raise HTTPException("not HTTP")  # and who speaks so may be waiting for us
        self._receive()

    def _receive(self) -> None:
        if len(self._buffer) - self._at > MAX_LINE_BYTES:
            raise HTTPException("a line without end")
        part = self._sock.recv(RECEIVE_BYTES)
        if not part:
            raise IncompleteRead(b"") if self._buffer else RemoteDisconnected("closed without an answer")
        self._buffer, self._at = self._buffer[self._at :] + part, 0

    def _line(self) -> bytes:
        while (end := self._buffer.find(b"\n", self._at)) < 0:
            self._receive()
        line = self._buffer[self._at : end]
        self._at = end + 1
        return line.removesuffix(b"\r")

    def _exactly(self, size_bytes: int) -> bytes:
        parts = [self._buffer[self._at : self._at + size_bytes]]
        self._at += len(parts[0])
        missing_bytes = size_bytes - len(parts[0])
        while missing_bytes:
            part = self._sock.recv(min(missing_bytes, RECEIVE_BYTES))
            if not part:
                raise IncompleteRead(b"")
            parts.append(part)
            missing_bytes -= len(part)
        return b"".join(parts)

    def _rest(self, max_bytes: int) -> bytes:
        parts = [self._buffer[self._at :]]
        self._at = len(self._buffer)
        size_bytes = len(parts[0])
        while size_bytes <= max_bytes and (part := self._sock.recv(RECEIVE_BYTES)):
            parts.append(part)
            size_bytes += len(part)
        if size_bytes > max_bytes:
            raise BodyTooLarge
        return b"".join(parts)

    def _chunks(self, max_bytes: int) -> bytes:
        parts: list[bytes] = []
        room_bytes = max_bytes
        while size_bytes := self._chunk_size():
            room_bytes -= size_bytes
            if room_bytes < 0:
                raise BodyTooLarge
            parts.append(self._exactly(size_bytes))
            if self._line():
                raise IncompleteRead(b"")
        for _ in range(MAX_FIELDS + 1):
            if not self._line():
                return b"".join(parts)
        raise HTTPException("too many trailers")

    def _chunk_size(self) -> int:
        size = _CHUNK_SIZE.fullmatch(self._line())
        if not size:
            raise IncompleteRead(b"")
        return int(size[1], 16)
