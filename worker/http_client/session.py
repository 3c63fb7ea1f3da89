"""The sessions of `requests` that the rest of us uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

from worker.http_client.adapter import Connections, Options, Pool
from worker.time_budget import CONNECT_S

if TYPE_CHECKING:
    from typing import Protocol

    class Sender(Protocol):
        """Sends a prepared request: a session, or connections of one caller."""

        def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response: ...


#: Answers are of a kilobyte or two and images are packed already: nothing to win by packing.
_HEADERS: Final = {"User-Agent": "ekyc-worker", "Accept-Encoding": "identity"}


def session(connect_timeout_s: float = CONNECT_S, *, proxy: str = "", ca_bundle: str = "") -> Session:
    """A session for hosts that the configuration trusts. Use it within `deadline`, and ``read_bounded`` for bodies.

    It takes nothing from the environment, follows no redirect, keeps no cookie, and raises nothing but
    ``requests.RequestException`` for what a network or a server does. `connect_timeout_s` is for the lookup of the
    name, TCP and TLS.
    """
    return Session(Options(connect_timeout_s, proxy=proxy, ca_bundle=ca_bundle))


def public_session(connect_timeout_s: float = CONNECT_S, *, proxy: str = "", ca_bundle: str = "") -> Session:
    """The same for hosts that others name: it dials public addresses alone, however a name resolves.

    With a proxy the proxy resolves names and dials: it has to refuse what is not public.
    """
    return Session(Options(connect_timeout_s, public=True, proxy=proxy, ca_bundle=ca_bundle))


class Session(requests.Session):
    """What `requests` does beside asking is left out: cookies, redirects, hooks, authentication.

    Looking for them takes `Session.send` 77 µs of CPU a call, and `Session.prepare_request` 50, when there are none.
    """

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.trust_env = False
        self.headers = CaseInsensitiveDict(_HEADERS)
        self._pool = Pool(options)
        self._connections = Connections(self._pool)
        adapter = _Adapter(self._pool, self._connections)
        self.adapters.clear()
        self.mount("http://", adapter)
        self.mount("https://", adapter)

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        prepared = requests.PreparedRequest()
        prepared.prepare_method(request.method)
        prepared.prepare_url(request.url, request.params or None)  # to encode none takes 12 µs
        prepared.prepare_headers({**self.headers, **request.headers})
        prepared.prepare_body(request.data, None, request.json)
        prepared.headers["Host"] = urlsplit(str(prepared.url)).netloc.rpartition("@")[2]
        return prepared

    def prepare_get(self, url: str) -> requests.PreparedRequest:
        """As `prepare_request` prepares a GET. Raises ``requests.RequestException``."""
        prepared = requests.PreparedRequest()
        prepared.method = "GET"
        prepared.prepare_url(url, None)
        prepared.headers = CaseInsensitiveDict(_HEADERS)
        return prepared

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        response = self._connections.send(request)  # without a look for the adapter: there is one
        if not kwargs.get("stream"):
            response.close()  # who does not want the body gets the head
        return response

    def own_connections(self, exchanges: int = 1) -> Connections:
        """Connections of one caller, closed at the end of the block: a context manager that sends.

        Parameters:
            exchanges: how many are expected; more are none the worse, but share no connection.
        """
        return Connections.of_one(self._pool, exchanges)

    def drop_connections(self) -> None:
        """Close every connection that is kept, and use none again that is in use."""
        self._connections.drop()


class _Adapter(BaseAdapter):
    """What `requests` calls a transport adapter."""

    def __init__(self, pool: Pool, connections: Connections) -> None:
        super().__init__()
        self._pool = pool
        self._connections = connections

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        return self._connections.send(request)

    def close(self) -> None:
        self._connections.drop()
        self._pool.close()
