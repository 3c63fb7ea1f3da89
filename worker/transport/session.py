"""The sessions of `requests` that the rest of us uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from requests.structures import CaseInsensitiveDict

from worker.transport.adapter import Adapter, PublicAdapter
from worker.transport.pools import CONNECT_TIMEOUT_S

if TYPE_CHECKING:
    from requests.adapters import BaseAdapter


def session(connect_timeout_s: float = CONNECT_TIMEOUT_S) -> requests.Session:
    """A session for hosts that we were told to trust. Use it within `deadline`, and ``read_bounded`` for bodies.

    It reads neither proxies nor netrc, follows no redirect, keeps no cookie, and raises nothing but
    ``requests.RequestException`` for what a network or a server does. `connect_timeout_s` is for each
    address that a name has.
    """
    adapter = Adapter(connect_timeout_s)
    return _Session(adapter, adapter)


def public_session(connect_timeout_s: float = CONNECT_TIMEOUT_S) -> requests.Session:
    """The same for hosts that others name: it connects to public addresses alone, however a name resolves."""
    plain, tls = (PublicAdapter(connect_timeout_s, is_https_proto=is_tls) for is_tls in (False, True))
    return _Session(plain, tls)


class _Session(requests.Session):
    """What `requests` does beside asking is left out: cookies, redirects, hooks, authentication.

    Looking for them takes `Session.send` 77 µs of CPU a call, and `Session.prepare_request` 50, when there are none.
    """

    def __init__(self, plain: BaseAdapter, tls: BaseAdapter) -> None:
        super().__init__()
        self.trust_env = False
        # Answers are of a kilobyte or two and images are packed already: nothing to win by packing.
        self.headers = CaseInsensitiveDict({"User-Agent": "ekyc-worker", "Accept-Encoding": "identity"})
        self.mount("http://", plain)
        self.mount("https://", tls)

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        prepared = requests.PreparedRequest()
        prepared.prepare_method(request.method)
        prepared.prepare_url(request.url, request.params or None)  # to encode none takes 12 µs
        prepared.prepare_headers({**self.headers, **request.headers})
        prepared.prepare_body(request.data, None, request.json)
        prepared.headers["Host"] = urlsplit(str(prepared.url)).netloc.rpartition("@")[2]
        return prepared

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        response = self.get_adapter(str(request.url)).send(request)
        if not kwargs.get("stream"):
            response.close()  # who does not want the body gets the head
        return response
