"""Sockets that keep the deadline.

`requests` bounds a connect and every single read, never their sum: a server that sends one byte a second
keeps a caller for hours. So each operation of these sockets is given what is left until the deadline and no
more: connect, TLS handshake, every send and every receive, whoever calls them in the layers above.
"""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Any, Final

from urllib3.util.connection import allowed_gai_family

from worker.transport.deadline import time_left_s, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterable


#: By how much a timeout may differ from what is left. To set it takes a system call, and one for Python's lock.
NEAR_S: Final = 0.02


class Socket(socket.socket):
    """A socket whose every operation ends at the deadline of the thread that uses it."""

    def restrain(self, at_most_s: float | None = None) -> None:
        """Give the next operation what is left. Raises ``TimeoutError`` where nothing is."""
        left_s = time_left_s()
        if not left_s:
            raise TimeoutError("the deadline has passed")
        if at_most_s is not None:
            left_s = min(left_s, at_most_s)
        given_s = self.gettimeout()
        if given_s is None or abs(given_s - left_s) > NEAR_S:
            self.settimeout(left_s)

    def recv(self, *args: Any) -> bytes:
        self.restrain()
        return super().recv(*args)

    def recv_into(self, *args: Any) -> int:
        self.restrain()
        return super().recv_into(*args)

    def send(self, *args: Any) -> int:
        self.restrain()
        return super().send(*args)

    def sendall(self, *args: Any) -> None:
        self.restrain()
        super().sendall(*args)


class TLSSocket(Socket, ssl.SSLSocket):
    """The same with TLS on it; what `ssl_context.sslsocket_class` is to be."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - as in ssl
        self.restrain()
        super().do_handshake(block)


def connect(host: str, port: int, timeout_s: float, options: Iterable[Any]) -> Socket:
    """A connection to the first address of `host` that takes one within `timeout_s`.

    Raises ``OSError``: of the last address, or because there is none.
    """
    failure = OSError("the name has no address")
    addresses = wait_for(socket.getaddrinfo, host, port, allowed_gai_family(), socket.SOCK_STREAM)
    for family, kind, protocol, _, address in addresses:
        sock = Socket(family, kind, protocol)
        try:
            for option in options:
                sock.setsockopt(*option)
            sock.restrain(timeout_s)
            sock.connect(address)
        except OSError as error:
            sock.close()
            failure = error
        else:
            return sock
    raise failure
