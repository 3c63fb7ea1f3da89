"""Connections that are kept. `urllib3` makes, checks and pools them; what is said over them is ours."""

from __future__ import annotations

import socket
import sys
from functools import partial
from typing import TYPE_CHECKING, Final

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from worker.transport.reply import Reply
from worker.transport.sockets import connect

if TYPE_CHECKING:
    from typing import Any

#: A lost packet of the TCP handshake is sent again after 1 s and once more after 2 s.
CONNECT_TIMEOUT_S: Final = 3.0


class Pool(HTTPConnectionPool):
    """The connections to one host."""

    def ask(self, request: bytes) -> Reply:
        """Send a request and read the head of its answer, which brings the connection back when it is closed.

        Raises what ``Reply`` raises, and ``urllib3.exceptions.HTTPError`` where there is no connection to be had.
        """
        connection: Any = self._get_conn()
        try:
            if connection.is_closed:
                connection.connect()
            connection.sock.sendall(request)
            return Reply(connection.sock, partial(self._take_back, connection))
        except BaseException:
            connection.close()
            self._put_conn(connection)
            raise

    def _take_back(self, connection: Any, reply: Reply) -> None:
        if not reply.leaves_usable:
            connection.close()
        self._put_conn(connection)


class _Connection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        timeout_s = self.timeout or CONNECT_TIMEOUT_S
        try:
            sock = connect(self._dns_host.strip("[]"), self.port, timeout_s, self.socket_options or ())
        except (socket.gaierror, UnicodeError) as error:
            raise NameResolutionError(self.host, self, socket.gaierror()) from error
        except TimeoutError as error:
            raise ConnectTimeoutError(self, "timed out") from error
        except OSError as error:
            raise NewConnectionError(self, "failed") from error
        sys.audit("http.client.connect", self, self.host, self.port)
        return sock


class _TLSConnection(_Connection, HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        # To wrap one that does not block is refused; the handshake sees to it that it does not.
        sock.settimeout(CONNECT_TIMEOUT_S)
        return sock


class PlainPool(Pool):
    ConnectionCls = _Connection


class TLSPool(Pool, HTTPSConnectionPool):
    ConnectionCls = _TLSConnection
