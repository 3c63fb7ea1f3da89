"""A server of HTTP/2 over TLS that answers rightly, and then adds, takes away and cuts frames as chance has it."""

from __future__ import annotations

import socket
import struct
import time
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from tests.support.tcp_thread import TcpServer
from tests.support.vendor_stub import Call

if TYPE_CHECKING:
    import random
    import ssl
    from collections.abc import Callable

#: Types of frames (RFC 9113, section 6).
DATA, HEADERS, RST_STREAM, GOAWAY = 0, 1, 3, 7

END_STREAM: Final = 1

_HEAD: Final = 9


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def frames(raw: bytes) -> list[bytes]:
    """The frames that `raw` is made of."""
    found = []
    while raw:
        size = _HEAD + int.from_bytes(raw[:3], "big")
        found.append(raw[:size])
        raw = raw[size:]
    return found


@dataclass
class _Asked:
    """A request that is coming in."""

    method: str
    path: str
    body: bytearray = field(default_factory=bytearray)


class H2Damage(TcpServer):
    """Answers each call with the body that `right` makes of it.

    Parameters:
        surplus: a body about somebody whom nobody asks about. It is only sent on streams that nobody waits for.
    """

    def __init__(
        self, tls: ssl.SSLContext, chance: random.Random, right: Callable[[Call], bytes], surplus: bytes
    ) -> None:
        super().__init__()
        tls.set_alpn_protocols(["h2"])
        self._tls, self._chance, self._right, self._surplus = tls, chance, right, surplus
        self.origin = f"https://127.0.0.1:{self.port}"
        self._lock = Lock()
        self._open: set[socket.socket] = set()

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        with self._lock:
            for sock in self._open:
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _serve(self, plain: socket.socket) -> None:
        try:
            with plain, self._tls.wrap_socket(plain, server_side=True) as sock:
                with self._lock:
                    self._open.add(sock)
                try:
                    self._converse(sock)
                finally:
                    with self._lock:
                        self._open.discard(sock)
        except (OSError, h2.exceptions.ProtocolError):
            pass  # the client went away, or wants no more of this

    def _converse(self, sock: ssl.SSLSocket) -> None:
        ours = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        ours.initiate_connection()
        sock.sendall(ours.data_to_send())
        asked: dict[int, _Asked] = {}
        while data := sock.recv(65_536):
            ended = []
            for event in ours.receive_data(data):
                match event:
                    case h2.events.RequestReceived(stream_id=stream, headers=headers):
                        said: dict[Any, Any] = dict(headers)
                        asked[stream] = _Asked(said[b":method"].decode(), said[b":path"].decode())
                    case h2.events.DataReceived(stream_id=stream, data=part):
                        asked[stream].body += part
                        ours.acknowledge_received_data(event.flow_controlled_length, stream)
                    case h2.events.StreamEnded(stream_id=stream):
                        ended.append(stream)
                    case _:
                        pass
            for stream in reversed(ended):
                each = asked.pop(stream)
                body = self._right(Call(each.method, each.path, {}, bytes(each.body)))
                self._answer(ours, stream, body)
            sent = ours.data_to_send()
            for part in self._damaged(frames(sent), list(asked)):
                sock.sendall(part)
                if self._chance.random() < 0.1:
                    time.sleep(self._chance.choice([0.001, 0.02]))
            if self._chance.random() < 0.03:
                return

    def _answer(self, ours: h2.connection.H2Connection, stream: int, body: bytes) -> None:
        length = len(body) + self._chance.choice([*[0] * 20, -7, 7])
        headers = [(":status", "200")]
        if self._chance.random() < 0.9:
            headers.append(("content-length", str(max(length, 0))))
        ours.send_headers(stream, headers)
        size = ours.max_outbound_frame_size
        for start in range(0, len(body), size):
            ours.send_data(stream, body[start : start + size])
        ours.end_stream(stream)

    def _damaged(self, sent: list[bytes], open_streams: list[int]) -> list[bytes]:
        taken = {int.from_bytes(each[5:9], "big") for each in sent} | set(open_streams)
        free = [stream for stream in (1, 3, 2, 9_999, 10_000) if stream not in taken]
        found = list(sent)
        if self._chance.random() < 0.3:
            kind = self._chance.choice([DATA, DATA, HEADERS])
            flags = self._chance.choice([0, END_STREAM])
            extra = frame(kind, flags, self._chance.choice(free), self._surplus[:16_000])
            found.insert(self._chance.randrange(len(found) + 1), extra)
        if found and self._chance.random() < 0.05:
            found.insert(self._chance.randrange(len(found) + 1), self._chance.choice(found))
        if found and self._chance.random() < 0.03:
            found.pop(self._chance.randrange(len(found)))
        if found and self._chance.random() < 0.03:
            cut = self._chance.randrange(len(found))
            found[cut] = found[cut][: self._chance.randrange(len(found[cut]) + 1)]
        if found and self._chance.random() < 0.03:
            at = self._chance.randrange(len(found))
            found.insert(at, self._chance.randbytes(self._chance.randrange(1, 30)))
        if taken and self._chance.random() < 0.03:
            found.append(frame(RST_STREAM, 0, self._chance.choice(sorted(taken)), struct.pack(">I", 2)))
        if self._chance.random() < 0.02:
            found.append(frame(GOAWAY, 0, 0, struct.pack(">II", 1, 0)))
        return found
