"""The sessions of `requests` that stand on sockets which keep the deadline."""

from __future__ import annotations

import socket
import ssl
import sys
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from requests_hardened.ip_filter_adapter import IPFilterAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NameResolutionError, NewConnectionError

from worker.transport.deadline import wait_for
from worker.transport.sockets import TLSSocket, connect

#: A lost packet of the TCP handshake is sent again after 1 s and once more after 2 s.
CONNECT_TIMEOUT_S: Final = 3.0

#: Connections to one host that are kept alive: the threads of one process.
POOL_SIZE: Final = 256

#: Hosts whose connections are kept: the vendor has six, images come from few.
POOLS: Final = 16


def session(connect_timeout_s: float = CONNECT_TIMEOUT_S) -> requests.Session:
    """A session for hosts that we were told to trust. Use it within `deadline`, with `stream=True`.

    It reads neither proxies nor netrc, follows no redirect, keeps no cookie, and raises nothing but
    ``requests.RequestException`` for what a network or a server does. `connect_timeout_s` is for each
    address that a name has.
    """
    adapter = _Adapter()
    return _Session(adapter, adapter, connect_timeout_s)


def public_session(connect_timeout_s: float = CONNECT_TIMEOUT_S) -> requests.Session:
    """The same for hosts that others name: it connects to public addresses alone, however a name resolves."""
    plain, tls = _PublicAdapter(is_https_proto=False), _PublicAdapter(is_https_proto=True)
    return _Session(plain, tls, connect_timeout_s)


class _Session(requests.Session):
    def __init__(self, plain: HTTPAdapter, tls: HTTPAdapter, connect_timeout_s: float) -> None:
        super().__init__()
        self.trust_env = False
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
        # Answers are of a kilobyte or two and images are packed already: nothing to win by packing.
        self.headers = CaseInsensitiveDict({"User-Agent": "ekyc-worker", "Accept-Encoding": "identity"})
        self.mount("http://", plain)
        self.mount("https://", tls)
        # No read timeout: the deadline is one for all reads together.
        self._always = {"timeout": (connect_timeout_s, None), "verify": True}

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        try:
            return super().send(request, **(kwargs | self._always))
        except HTTPError as error:  # what requests forgets to translate
            raise requests.ConnectionError(error, request=request) from error

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        del resp
        return None


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *_: Any, **__: Any) -> None:
        tls = ssl.create_default_context(cafile=DEFAULT_CA_BUNDLE_PATH)
        tls.sslsocket_class = TLSSocket
        self.poolmanager = PoolManager(POOLS, maxsize=POOL_SIZE, ssl_context=tls)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}

    def cert_verify(self, *_: Any) -> None:
        """Names no file of authorities: those of the context above count, which are read once."""


class _PublicAdapter(_Adapter, IPFilterAdapter):  # type: ignore[misc]
    def __init__(self, *, is_https_proto: bool) -> None:
        IPFilterAdapter.__init__(self, is_https_proto=is_https_proto)

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, *args: Any, **kwargs: Any
    ) -> Any:
        # Here the filter looks the name up, checks the address, and pins the connection to it.
        try:
            return wait_for(super().build_connection_pool_key_attributes, request, *args, **kwargs)
        except TimeoutError as error:
            raise requests.ConnectTimeout(error, request=request) from error


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
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _TLSConnection
