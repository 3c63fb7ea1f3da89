"""A server on the loopback that sends exactly the bytes of a test, with pauses."""

from __future__ import annotations

import json
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from threading import Event, Lock
from typing import TYPE_CHECKING, Any

from tests.support.tcp_thread import TcpServer

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable


@dataclass(frozen=True, slots=True)
class Call:
    """A request as it arrived. Names of headers are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


#: In a reply: close the connection.
HANG_UP = object()


class Stub(TcpServer):
    """Answers each call with the parts that `reply` returns: bytes are sent, numbers are seconds to wait.

    After a reply the connection stays open for the next call, unless the reply ends with `HANG_UP`.
    """

    def __init__(self, reply: Callable[[Call], Iterable[Any]], tls: ssl.SSLContext | None = None) -> None:
        super().__init__()
        self.reply = reply
        self.calls: list[Call] = []
        self._tls = tls
        self._lock = Lock()
        self._over = Event()
        self._open: list[socket.socket] = []
        self.origin = f"http{'s' if tls else ''}://127.0.0.1:{self.port}"

    def __exit__(self, *_: object) -> None:
        self._over.set()
        super().__exit__()
        with self._lock:
            for sock in self._open:
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    @property
    def open_connections(self) -> int:
        with self._lock:
            return len(self._open)

    def paths(self) -> list[str]:
        return [call.path for call in self.calls]

    def _accepted(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self.connections += 1
            self._open.append(sock)

    def _serve(self, plain: socket.socket) -> None:
        sock = plain
        try:
            if self._tls:
                sock = self._tls.wrap_socket(plain, server_side=True)
                with self._lock:  # `plain` no longer has a file descriptor
                    self._open[self._open.index(plain)] = sock
                    if self._over.is_set():
                        return
            while (call := _read(sock)) is not None:
                with self._lock:
                    self.calls.append(call)
                if not self._send(sock, self.reply(call)):
                    break
        except OSError:
            pass  # the client closed the connection, as some tests intend
        finally:
            with self._lock:
                self._open.remove(sock if sock in self._open else plain)
            sock.close()
            plain.close()

    def _send(self, sock: socket.socket, reply: Iterable[Any]) -> bool:
        for part in reply:
            if part is HANG_UP or self._over.is_set():
                return False
            if isinstance(part, bytes):
                sock.sendall(part)
            else:
                self._over.wait(part)
        return True


def http(
    body: bytes | dict[str, Any] = b"", status: int = 200, *, framed: bool = True, **headers: str
) -> bytes:
    """Return a whole response; `framed=False` omits the length."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    if framed:
        headers = {"Content_Length": str(len(raw))} | headers
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode() + raw


def envelope(code: str, data: Any = None) -> dict[str, Any]:
    """Return an envelope as the vendor's page shows it."""
    return {
        "code": code,
        "message": "never to be decided on",
        "data": data,
        "extra": None,
        "transactionId": "d3fde1547eeaf226",
        "pricingStrategy": "FREE",
    }


def token(value: str, life_s: float = 3600.0) -> bytes:
    """Return a token response of the vendor; the token expires in `life_s`."""
    return http(envelope("SUCCESS", {"token": value, "expiredTime": int((time.time() + life_s) * 1000)}))


def _read(sock: socket.socket) -> Call | None:
    """Return the next request; None if the client closes the connection before it is complete."""
    with sock.makefile("rb") as stream:
        line = stream.readline()
        if not line.endswith(b"\n"):
            return None
        method, path, _ = line.decode("latin-1").split(" ", 2)
        headers: dict[str, str] = {}
        while (line := stream.readline()) != b"\r\n":
            if not line.endswith(b"\n"):
                return None
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        length = int(headers.get("content-length", 0))
        body = stream.read(length)
        return Call(method, path, headers, body) if len(body) == length else None
