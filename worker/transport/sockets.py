"""Sockets that keep the deadline.

`requests` bounds a connect and every single read, never their sum: a server that sends one byte a second
keeps a caller for hours. So each operation of these sockets is given what is left until the deadline and no
more: connect, TLS handshake, every send and every receive, whoever calls them in the layers above.

None of them blocks: they try, and wait by ``worker.greenlets`` where there is something to wait for.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from urllib3.util.connection import allowed_gai_family

from worker.greenlets import await_socket
from worker.transport.deadline import time_left_s, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_T = TypeVar("_T")


class Socket(socket.socket):
    """A socket whose every operation ends at the deadline of whoever uses it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.setblocking(False)  # noqa: FBT003 - as in socket

    def recv(self, *args: Any) -> bytes:
        return self._in_time(super().recv, *args)

    def recv_into(self, *args: Any) -> int:
        return self._in_time(super().recv_into, *args)

    def send(self, *args: Any) -> int:
        return self._in_time(super().send, *args, to_write=True)

    def sendall(self, data: Any, *args: Any) -> None:
        rest = memoryview(data).cast("B")
        while rest:
            rest = rest[self.send(rest, *args) :]

    def reach(self, address: Any, timeout_s: float) -> None:
        """Connect within `timeout_s`. Raises ``OSError``."""
        left_s = min(_left_s(), timeout_s)
        code = self.connect_ex(address)
        if code == errno.EINPROGRESS:
            await_socket(self, to_write=True, timeout_s=left_s)
            code = self.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))

    def _in_time(self, operation: Callable[..., _T], *args: Any, to_write: bool = False) -> _T:
        while True:
            left_s = _left_s()
            try:
                return operation(*args)
            except BlockingIOError:
                writes = to_write
            except ssl.SSLWantReadError:
                writes = False
            except ssl.SSLWantWriteError:
                writes = True
            await_socket(self, to_write=writes, timeout_s=left_s)


class TLSSocket(Socket, ssl.SSLSocket):
    """The same with TLS on it; what `ssl_context.sslsocket_class` is to be."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - as in ssl
        self.setblocking(False)  # noqa: FBT003 - as in socket
        self._in_time(super().do_handshake, block)


def _left_s() -> float:
    left_s = time_left_s()
    if not left_s:
        raise TimeoutError("the deadline has passed")
    return left_s


def connect(host: str, port: int, timeout_s: float, options: Iterable[Any]) -> Socket:
    """A connection to the first address of `host` that takes one within `timeout_s`.

    Raises ``OSError``: of the last address, or because there is none.
    """
    failure = OSError("the name has no address")
    for family, kind, protocol, _, address in _addresses(host, port):
        sock = Socket(family, kind, protocol)
        try:
            for option in options:
                sock.setsockopt(*option)
            sock.reach(address, timeout_s)
        except OSError as error:
            sock.close()
            failure = error
        else:
            return sock
    raise failure


def _addresses(host: str, port: int) -> Iterable[tuple[Any, ...]]:
    _left_s()
    wanted = (host, port, allowed_gai_family(), socket.SOCK_STREAM)
    with suppress(socket.gaierror):
        return socket.getaddrinfo(*wanted, flags=socket.AI_NUMERICHOST)  # asks nobody
    return wait_for(socket.getaddrinfo, *wanted)
