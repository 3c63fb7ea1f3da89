"""Reads requests from the wire and writes answers, in every ``Manner``."""

from __future__ import annotations

import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from sandbox.reply import Manner
from sandbox.request import Request

if TYPE_CHECKING:
    from sandbox.reply import Reply
    from sandbox.server import Listener

#: More than any call of the vendor needs.
MAX_REQUEST_BYTES: Final = 64 * 1024

#: Seconds between two bytes of an answer sent with ``Manner.DRIP``.
DRIP_S: Final = 1.0

_PADDING: Final = b" " * 65_536


class Handler(BaseHTTPRequestHandler):
    """One connection of a client."""

    server: Listener
    protocol_version = "HTTP/1.1"
    # Otherwise the end of an answer waits 40 ms for the client's delayed ACK.
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the signature of http.server
        """Do nothing: the server's own log has the answers."""

    def _answer(self) -> None:
        began_s = time.monotonic()
        request = self._request()
        if request is None:
            return
        exchange = self.server.app.answer(request)
        if self.server.ending():
            # The delay was cut short: send no answer instead of one that is too early.
            self.close_connection = True
            return
        self._send(exchange.reply)
        self.server.log(exchange, time.monotonic() - began_s)

    def _request(self) -> Request | None:
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not (length.isascii() and length.isdecimal()):
            self.send_error(HTTPStatus.LENGTH_REQUIRED)
            return None
        if len(length) > 9 or int(length) > MAX_REQUEST_BYTES:  # noqa: PLR2004 - digits enough
            self.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return None
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            self.close_connection = True
            return None
        url = urlsplit(self.path)
        host = self.headers.get("Host")
        return Request(
            self.command,
            url.path,
            url.query,
            body,
            self.headers.get,
            f"http://{host}" if host else self.server.url,
        )

    def _send(self, reply: Reply) -> None:
        match reply.manner:
            case Manner.RESET:
                self.close_connection = True
                self.server.reset(self.connection)
            case Manner.TRUNCATED:
                self.close_connection = True
                self.wfile.write(self._head(reply, len(reply.body)) + reply.body[: len(reply.body) // 2])
            case Manner.DRIP:
                self.wfile.write(self._head(reply, len(reply.body)))
                self._drip(reply.body)
            case Manner.PADDED:
                self.wfile.write(self._head(reply, None))
                self._pad(reply)
            case _:
                self.wfile.write(self._head(reply, len(reply.body)) + reply.body)

    def _head(self, reply: Reply, length: int | None) -> bytes:
        lines = [
            f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}",
            f"Date: {self.date_time_string()}",
            f"Content-Type: {reply.media_type}",
            "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}",
            *(f"{name}: {value}" for name, value in reply.headers),
            *(["Connection: close"] if self.close_connection else []),
        ]
        return "\r\n".join((*lines, "", "")).encode("latin-1")

    def _drip(self, body: bytes) -> None:
        for at in range(len(body)):
            self.wfile.write(body[at : at + 1])
            if self.server.pause(DRIP_S):
                self.close_connection = True
                return

    def _pad(self, reply: Reply) -> None:
        self._chunk(reply.body)
        for _ in range(reply.padding_bytes // len(_PADDING)):
            self._chunk(_PADDING)
        self._chunk(b"")

    def _chunk(self, part: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
