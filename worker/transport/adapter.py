"""Between a session of `requests` and the connections: over which one a request goes, and what is raised then."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from http.client import HTTPException
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.exceptions import InvalidHeader, InvalidURL, SSLError
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from requests_hardened.ip_filter_adapter import IPFilterAdapter
from urllib3 import PoolManager
from urllib3.exceptions import ConnectTimeoutError, HTTPError, LocationValueError
from urllib3.util.ssl_match_hostname import CertificateError

from worker.transport.deadline import wait_for
from worker.transport.pools import PlainPool, TLSPool
from worker.transport.sockets import TLSSocket

if TYPE_CHECKING:
    from worker.transport.pools import Pool

#: Connections to one host that are kept: as many as a process has calls under way.
POOL_SIZE: Final = 512

#: Hosts whose connections are kept: the vendor has six, images come from few.
POOLS: Final = 16

#: How long an origin's pool is remembered, and with it the address that its name was found to have. To look it up takes
#: 40 µs of CPU, and a thread and a question to the name server where only public addresses will do.
REMEMBERED_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class _Known:
    pool: Pool
    until: float


class Adapter(HTTPAdapter):
    """What `requests` calls a transport adapter; `urllib3` manages its pools of connections."""

    def __init__(self, connect_timeout_s: float, **kwargs: Any) -> None:
        self._connect_timeout_s = connect_timeout_s
        self._known: dict[tuple[str, str], _Known] = {}
        super().__init__(**kwargs)

    def init_poolmanager(self, *_: Any, **__: Any) -> None:
        tls = ssl.create_default_context(cafile=DEFAULT_CA_BUNDLE_PATH)
        tls.sslsocket_class = TLSSocket
        self.poolmanager = PoolManager(
            POOLS, maxsize=POOL_SIZE, timeout=self._connect_timeout_s, ssl_context=tls
        )
        self.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": TLSPool}

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """Send what a session has prepared, and read the head of the response; ``read_bounded`` reads its body."""
        pool, written = self._pool(request), _written(request)
        try:
            reply = pool.ask(written)
        except (ssl.SSLError, CertificateError) as error:
            raise SSLError(error) from error
        except ConnectTimeoutError as error:
            raise requests.ConnectTimeout(error) from error
        except (OSError, HTTPException, HTTPError) as error:
            raise requests.ConnectionError(error) from error
        response = requests.Response()
        response.status_code, response.headers = reply.head.status, reply.head.headers
        response.url, response.request, response.raw = str(request.url), request, reply
        return response

    def _pool(self, request: requests.PreparedRequest) -> Pool:
        url = urlsplit(str(request.url))
        origin = (url.scheme, url.netloc)
        known = self._known.get(origin)
        if known and monotonic() < known.until:
            return known.pool
        try:
            pool = cast("Pool", self.get_connection_with_tls_context(request, verify=True))
        except LocationValueError as error:
            raise InvalidURL(error) from error
        if len(self._known) >= POOLS:
            self._known.clear()
        self._known[origin] = _Known(pool, monotonic() + REMEMBERED_S)
        return pool


class PublicAdapter(Adapter, IPFilterAdapter):  # type: ignore[misc]
    """The same to public addresses alone."""

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, *args: Any, **kwargs: Any
    ) -> Any:
        # Here the filter looks the name up, checks the address, and pins the connection to it.
        try:
            return wait_for(super().build_connection_pool_key_attributes, request, *args, **kwargs)
        except TimeoutError as error:
            raise requests.ConnectTimeout(error) from error


def _written(request: requests.PreparedRequest) -> bytes:
    """The request as it travels, in one piece, so that it takes one system call; its body is bytes or none."""
    lines = [f"{request.method} {request.path_url} HTTP/1.1"]
    lines += [f"{name}: {value!s}" for name, value in request.headers.items()]
    head = "\r\n".join(lines)
    if head.count("\r") >= len(lines) or head.count("\n") >= len(lines):
        raise InvalidHeader("a line break within a header")
    body: Any = request.body or b""
    return f"{head}\r\n\r\n".encode("latin-1") + bytes(body)
