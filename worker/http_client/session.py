"""The sessions of `requests` for all other packages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

from worker.http_client.adapter import Connections, Options, Pool
from worker.http_client.plain_url import plain
from worker.time_budget import CONNECT_S

if TYPE_CHECKING:
    from typing import Protocol

    class Sender(Protocol):
        """Sends a prepared request: a session, or connections of one caller."""

        def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response: ...


#: Answers have one or two kilobytes, and images are compressed already: compression gains nothing.
_HEADERS: Final = {"User-Agent": "ekyc-worker", "Accept-Encoding": "identity"}


def session(
    connect_timeout_s: float = CONNECT_S, *, proxy: str = "", ca_bundle: str = "", repeats: bool = True
) -> Session:
    """Return a session for hosts that the configuration trusts. Use `deadline`, and ``read_bounded`` for bodies.

    It takes nothing from the environment, follows no redirect, keeps no cookie, and raises only
    ``requests.RequestException`` for faults of a network or a server. `connect_timeout_s` covers DNS lookup, TCP and
    TLS. `repeats`: see ``Options``.
    """
    return Session(Options(connect_timeout_s, proxy=proxy, ca_bundle=ca_bundle, repeats=repeats))


def public_session(
    connect_timeout_s: float = CONNECT_S, *, proxy: str = "", ca_bundle: str = "", repeats: bool = True
) -> Session:
    """Return a session for untrusted hosts: it dials only public addresses, regardless of how a name resolves.

    A proxy resolves names and dials itself: it has to refuse addresses that are not public.
    """
    options = Options(connect_timeout_s, public=True, proxy=proxy, ca_bundle=ca_bundle, repeats=repeats)
    return Session(options)


class Session(requests.Session):
    """A session without cookies, redirects, hooks and authentication.

    Checking for them takes `Session.send` 77 µs of CPU a call, and `Session.prepare_request` 50 µs, if there are none.
    """

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.trust_env = False
        self.headers = CaseInsensitiveDict(_HEADERS)
        self._get_headers = CaseInsensitiveDict(_HEADERS)
        self._pool = Pool(options)
        self._connections = Connections(self._pool)
        adapter = _Adapter(self._pool, self._connections)
        self.adapters.clear()
        self.mount("http://", adapter)
        self.mount("https://", adapter)

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        prepared = requests.PreparedRequest()
        prepared.prepare_method(request.method)
        prepared.prepare_url(request.url, request.params or None)  # encoding empty parameters takes 12 µs
        prepared.prepare_headers({**self.headers, **request.headers})
        prepared.prepare_body(request.data, None, request.json)
        prepared.headers["Host"] = urlsplit(str(prepared.url)).netloc.rpartition("@")[2]
        return prepared

    def prepare_get(self, url: str) -> requests.PreparedRequest:
        """Prepare a GET, as `prepare_request` does, with headers that all of them share.

        Raises ``requests.RequestException``.
        """
        prepared = requests.PreparedRequest()
        prepared.method = "GET"
        if plain(url):
            prepared.url = url
        else:
            prepared.prepare_url(url, None)
        prepared.headers = self._get_headers
        return prepared

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        response = self._connections.send(request)  # without looking up the adapter: there is only one
        if not kwargs.get("stream"):
            response.close()  # without `stream` the caller gets only the head
        return response

    def own_connections(self, exchanges: int = 1) -> Connections:
        """Return a context manager that sends over connections of its own, closed at the end of the block.

        Parameters:
            exchanges: the expected number. More exchanges work, but share no connection.
        """
        return Connections.of_one(self._pool, exchanges)

    def drop_connections(self) -> None:
        """Close all idle connections, and do not reuse those in use."""
        self._connections.drop()


class _Adapter(BaseAdapter):
    """A transport adapter of `requests`."""

    def __init__(self, pool: Pool, connections: Connections) -> None:
        super().__init__()
        self._pool = pool
        self._connections = connections

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        return self._connections.send(request)

    def close(self) -> None:
        self._connections.drop()
        self._pool.close()
