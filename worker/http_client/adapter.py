"""The adapter between a session of `requests` and libcurl: requests, connections and errors."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit, urlunsplit

import requests
from gevent import get_hub
from requests.exceptions import InvalidHeader, InvalidURL
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from worker.concurrency.blocking import in_greenlet
from worker.http_client.addresses import is_public, literal
from worker.http_client.curl import pycurl
from worker.http_client.deadline import time_left_s
from worker.http_client.engine import MAX_CONNECTIONS, Engine, LoopEngine, ThreadEngine
from worker.http_client.failure import AddressNotPublic, failure
from worker.http_client.plain_url import plain
from worker.http_client.reply import GUARD_S, Reply
from worker.http_client.transfer import Transfer
from worker.time_budget import CONNECT_S, FIRST_BYTE_S

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

#: Many NATs and load balancers silently drop a connection that was idle for a minute, some sooner.
MAX_IDLE_S: Final = 25

#: A connection has a maximum age, so that DNS is asked again when a host moves.
MAX_AGE_S: Final = 600

#: A connection that was idle for longer is suspect: a NAT may have dropped it. If no byte arrives within
#: `FIRST_BYTE_S`, a request that changes nothing is sent again on a fresh connection.
SUSPECT_AFTER_S: Final = 1.0

#: For requests that must not be sent twice, no connection becomes suspect: libcurl counts in whole seconds.
MAX_IDLE_ONCE_S: Final = 1
_WITHOUT_BODY: Final = {"GET", "HEAD"}
_NO_SOCKET: Final[int] = pycurl.SOCKET_BAD
_SUPPRESS_CONNECT_HEADERS: Final = 265  # pycurl has no name for it
_MAY_HAVE_BEEN_DEAD: Final = {
    pycurl.E_GOT_NOTHING,
    pycurl.E_SEND_ERROR,
    pycurl.E_RECV_ERROR,
    pycurl.E_HTTP2,
    92,
}

#: Tags that keep connections apart: libcurl reuses a connection only for the same `ADDRESS_SCOPE`.
_tags: Final = count(1)


@dataclass(frozen=True, slots=True)
class Options:
    """How a session reaches its hosts.

    Parameters:
        public: dial only public addresses.
        proxy: its URL; empty: none. A proxy resolves names, and has to filter addresses itself.
        ca_bundle: a file of trusted certificates; empty: those of `certifi`.
        repeats: a request without an answer may be sent again. False: only if its reused connection broke.
    """

    connect_timeout_s: float = CONNECT_S
    public: bool = False
    proxy: str = field(default="", repr=False)
    ca_bundle: str = ""
    repeats: bool = True


class Pool:
    """The engines of one session: one for each gevent loop, and one for each plain thread that sends at a time."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self._here = threading.local()
        self._on_loops: list[LoopEngine] = []
        self._for_threads: list[ThreadEngine] = []
        self._every: list[Engine] = []

    def handle(self) -> Handle:
        """Return an idle handle of the engine for this thread."""
        engine = self._engine()
        return engine.handles.pop() if engine.handles else Handle(engine, self.options)

    def give_back(self, handle: Handle) -> None:
        idle = handle.engine.handles
        if len(idle) < MAX_CONNECTIONS:
            idle.append(handle)
        if isinstance(handle.engine, ThreadEngine):
            self._for_threads.append(handle.engine)

    def close_idle(self, tag: int) -> None:
        for engine in tuple(self._every):
            engine.close_idle(tag)

    def close(self) -> None:
        while self._on_loops:
            engine = self._on_loops.pop()
            self._forget(engine)
            engine.close_from_anywhere()
        while self._for_threads:
            idle = self._for_threads.pop()
            self._forget(idle)
            idle.close()
        self._here = threading.local()

    def _forget(self, engine: Engine) -> None:
        engine.handles.clear()
        with suppress(ValueError):
            self._every.remove(engine)

    def _engine(self) -> Engine:
        if not in_greenlet():
            with suppress(IndexError):
                return self._for_threads.pop()
            return self._new(ThreadEngine())
        hub = get_hub()
        known = getattr(self._here, "engine", None)
        if known is None or self._here.hub is not hub:
            known = self._here.engine = LoopEngine()
            self._here.hub = hub
            self._on_loops.append(known)
            self._new(known)
        engine: Engine = known
        return engine

    def _new(self, engine: Engine) -> Engine:
        self._every.append(engine)
        return engine


class Connections:
    """Connections for the exclusive use of one caller. The end of the block, or `drop`, closes them."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._tag = next(_tags)
        # Pairs of engine and libcurl's number. None: the many connections of a session are not checked.
        self._opened: set[tuple[int, int]] | None = None
        self._exchanges_left = 0

    @classmethod
    def of_one(cls, pool: Pool, exchanges: int) -> Connections:
        """Return connections for few exchanges, each checked to have been opened here.

        Parameters:
            exchanges: the expected number. From the last exchange on, a connection is closed right after use.
        """
        connections = cls(pool)
        connections._opened = set()
        connections._exchanges_left = exchanges
        return connections

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.drop()

    def drop(self) -> None:
        """Close the idle connections, and do not reuse those in use."""
        tag, self._tag = self._tag, next(_tags)
        self._pool.close_idle(tag)

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:
        """Send a prepared request, and return once the head of the response has arrived.

        A request is sent twice if a reused connection turns out to be dead, or seems to be (``Options.repeats``).
        """
        asked = _Asked.of(request, self._pool.options)
        self._exchanges_left -= 1
        transfer = self._try(asked, fresh=self._needs_fresh(asked)) or self._try(asked, fresh=True)
        if transfer is None or not self._is_ours(transfer):
            raise requests.ConnectionError("the connection belongs to another caller")
        response = requests.Response.__new__(requests.Response)
        response.__dict__.update(_BLANK)
        response.status_code, response.headers = transfer.status, cast("Any", transfer.headers)
        response.url, response.request = str(request.url), request
        response.raw = Reply(transfer, self._done)
        return response

    def _try(self, asked: _Asked, *, fresh: bool) -> Transfer | None:
        """Return the transfer once its head has arrived; None if it needs another attempt on a fresh connection."""
        left_s = time_left_s()
        if not left_s:
            raise _late()
        handle = self._pool.handle()
        last = self._opened is not None and self._exchanges_left <= 0
        transfer = handle.begin(asked, self._tag, left_s, fresh=fresh, last=last)
        try:
            if self._head_comes(transfer, left_s, fresh=fresh):
                return transfer
            error = failure(transfer) if transfer.ended else None
        except BaseException:
            self._leave(transfer)
            raise
        dead = not fresh and (error is None or _may_have_been_dead(transfer))
        self._leave(transfer)
        if error is not None and not dead:
            try:
                raise error
            finally:
                del error  # its traceback refers to this frame
        self.drop()  # a NAT that dropped one connection has dropped the other idle ones
        return None

    def _head_comes(self, transfer: Transfer, left_s: float, *, fresh: bool) -> bool:
        """Return whether the head arrives. False: the transfer has ended, or its connection is suspect."""
        engine = transfer.engine
        engine.start(transfer)
        waits = fresh or left_s <= FIRST_BYTE_S or not self._pool.options.repeats
        wait_s = left_s + GUARD_S if waits else FIRST_BYTE_S
        while not transfer.ended and not transfer.has_head:
            if engine.wait(transfer, wait_s):
                continue
            if wait_s == FIRST_BYTE_S and _is_suspect(transfer):
                return False
            wait_s = time_left_s() + GUARD_S
            if wait_s <= GUARD_S:
                raise _late()
        return transfer.has_head

    def _needs_fresh(self, asked: _Asked) -> bool:
        """Whether libcurl would find no connection, or another caller's: with a proxy, http connections look alike."""
        if self._opened is None:
            return False
        return not self._opened or (bool(self._pool.options.proxy) and asked.url.startswith("http:"))

    def _is_ours(self, transfer: Transfer) -> bool:
        """Whether libcurl has used one of our connections, as the tag should ensure."""
        if self._opened is None:
            return True
        connection = (id(transfer.engine), transfer.connection_id)
        if transfer.curl.getinfo(pycurl.NUM_CONNECTS):
            self._opened.add(connection)
        if connection in self._opened:
            return True
        self._leave(transfer)
        return False

    def _leave(self, transfer: Transfer) -> None:
        transfer.engine.stop(transfer)
        self._done(transfer)

    def _done(self, transfer: Transfer) -> None:
        if transfer.unclear or (self._opened is not None and transfer.may_hide_bytes):
            self.drop()
        handle, transfer.handle = transfer.handle, None
        if handle is not None:
            handle.forget()
            self._pool.give_back(handle)


#: The attributes of an empty response. Creating its cookie jar, which stays empty, takes 15 µs a response.
_BLANK: Final = vars(requests.Response())


def _late() -> requests.RequestException:
    error = requests.ConnectionError("the deadline has passed")
    error.__cause__ = TimeoutError("the deadline has passed")
    return error


def _may_have_been_dead(transfer: Transfer) -> bool:
    return (
        transfer.code in _MAY_HAVE_BEEN_DEAD
        and not transfer.touched
        and not transfer.curl.getinfo(pycurl.NUM_CONNECTS)
    )


def _is_suspect(transfer: Transfer) -> bool:
    """Whether no byte has arrived on a connection that was idle long enough for a NAT to drop it."""
    if transfer.touched or transfer.curl.getinfo(pycurl.NUM_CONNECTS):
        return False
    return transfer.engine.idled_s(transfer.curl.getinfo(pycurl.ACTIVESOCKET)) > SUSPECT_AFTER_S


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request as libcurl takes it."""

    method: str
    url: str
    headers: tuple[bytes, ...] = field(repr=False)
    body: bytes = field(repr=False)

    @classmethod
    def of(cls, request: requests.PreparedRequest, options: Options) -> _Asked:
        # Cache the URLs of the vendor, which are few; a link to an image must not be cached.
        url, host = (_known_url if request.method == "POST" else _url)(str(request.url))
        if options.public and options.proxy and not _may_be_public(host):
            # Without a proxy the dialled address decides.
            raise requests.ConnectionError from AddressNotPublic("no public address")
        body: Any = request.body or b""
        raw = body.encode() if isinstance(body, str) else bytes(body)
        return cls(str(request.method), url, _lines(request.headers, has_body=bool(raw)), raw)


def _url(url: str) -> tuple[str, str]:
    """Return the URL to request, without user and fragment, and its host."""
    if found := plain(url):
        return url, found.host
    parts = urlsplit(url)
    netloc = parts.netloc.rpartition("@")[2]
    if parts.scheme not in {"http", "https"} or not netloc:
        raise InvalidURL("not an HTTP URL")
    return urlunsplit((parts.scheme, netloc, parts.path or "/", parts.query, "")), parts.hostname or ""


_known_url: Final = lru_cache(maxsize=32)(_url)


def _may_be_public(host: str) -> bool:
    ip = literal(host)
    name = host.lower().rstrip(".")
    return is_public(str(ip)) if ip is not None else name != "localhost" and not name.endswith(".localhost")


#: A cache of headers in libcurl's form, which are the same in most calls of a session.
_known_lines: Final[dict[tuple[Any, ...], tuple[bytes, ...]]] = {}
_MAX_KNOWN_LINES: Final = 32


def _lines(headers: Any, *, has_body: bool) -> tuple[bytes, ...]:
    key = (has_body, *headers.lower_items())
    known = _known_lines.get(key)
    if known is None:
        known = _written(headers, has_body=has_body)
        if len(_known_lines) >= _MAX_KNOWN_LINES:
            _known_lines.clear()
        _known_lines[key] = known
    return known


def _written(headers: Any, *, has_body: bool) -> tuple[bytes, ...]:
    names = {name.lower() for name in headers}
    lines = [
        (f"{name}: {value!s}" if value else f"{name};")
        for name, value in headers.items()
        if name.lower() != "content-length"  # libcurl counts itself
    ]
    joined = "".join(lines)
    if "\r" in joined or "\n" in joined or "\0" in joined:
        raise InvalidHeader("a header contains a line break")
    if "accept" not in names:
        lines.append("Accept:")
    if has_body:
        lines += [f"{name}:" for name in ("Content-Type", "Expect") if name.lower() not in names]
    return tuple(line.encode("latin-1") for line in lines)


class Handle:
    """An easy handle of libcurl, with the options that all requests of a session share."""

    def __init__(self, engine: Engine, options: Options) -> None:
        self.engine = engine
        self._options = options
        self._transfer: Any = None
        self._custom = False
        # The last options of the handle: setting an option costs more than comparing it.
        self._method, self._url = "", ""
        self._headers: tuple[bytes, ...] = ()
        self._tag = 0
        self._fresh, self._last = False, False
        curl = self.curl = pycurl.Curl()
        for option, value in _fixed(options).items():
            curl.setopt(option, value)
        curl.unsetopt(pycurl.CAPATH)
        curl.unsetopt(pycurl.PROXY_CAPATH)
        curl.setopt(pycurl.HEADERFUNCTION, self._on_header)
        curl.setopt(pycurl.WRITEFUNCTION, self._on_body)
        curl.setopt(pycurl.OPENSOCKETFUNCTION, self._on_dial)

    def begin(self, asked: _Asked, tag: int, left_s: float, *, fresh: bool, last: bool) -> Transfer:
        curl = self.curl
        if asked.method != self._method:
            self._set_method(asked.method)
        if asked.url != self._url:
            self._url = asked.url
            curl.setopt(pycurl.URL, asked.url)
        if asked.headers != self._headers:
            self._headers = asked.headers
            curl.setopt(pycurl.HTTPHEADER, asked.headers)
        if asked.body or asked.method not in _WITHOUT_BODY:
            curl.setopt(pycurl.POSTFIELDS, asked.body)
        if tag != self._tag:
            self._tag = tag
            curl.setopt(pycurl.ADDRESS_SCOPE, tag & 0x7FFFFFFF)
        if fresh is not self._fresh:
            self._fresh = fresh
            curl.setopt(pycurl.FRESH_CONNECT, int(fresh))
        if last is not self._last:
            self._last = last
            curl.setopt(pycurl.FORBID_REUSE, int(last))
        # A body makes libcurl send a POST, so the next request has to set its method again.
        self._method = asked.method if not asked.body or asked.method == "POST" else ""
        curl.setopt(pycurl.TIMEOUT_MS, max(int(left_s * 1000), 1))
        self._transfer = transfer = Transfer(self, is_tls=asked.url.startswith("https:"))
        return transfer

    def forget(self) -> None:
        """Release the last transfer: an idle handle would keep its body."""
        self._transfer = None

    def _set_method(self, method: str) -> None:
        self.curl.setopt(pycurl.HTTPGET, 1)
        if self._custom:
            self.curl.unsetopt(pycurl.CUSTOMREQUEST)
        if method == "HEAD":
            self.curl.setopt(pycurl.NOBODY, 1)
        self._custom = method not in {"GET", "HEAD", "POST"}
        if self._custom:
            self.curl.setopt(pycurl.CUSTOMREQUEST, method)

    def _on_header(self, line: bytes) -> int | None:
        answer: int | None = self._transfer.on_header(line)
        return answer

    def _on_body(self, data: bytes) -> int | None:
        answer: int | None = self._transfer.on_body(data)
        return answer

    def _on_dial(self, _: int, address: Any) -> int:
        if self._options.public and not self._options.proxy and not is_public(_host(address.addr)):
            self._transfer.refused_addresses = True
            return _NO_SOCKET
        self._transfer.dialled = True
        try:
            return self.engine.open_socket(self._tag, address.family, address.socktype, address.protocol)
        except OSError:
            return _NO_SOCKET


def _host(address: Any) -> str:
    host = address[0] if isinstance(address, tuple) else ""
    return host.decode() if isinstance(host, bytes) else str(host)


def _fixed(options: Options) -> dict[int, Any]:
    bundle = options.ca_bundle or DEFAULT_CA_BUNDLE_PATH
    web = pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS
    return {
        pycurl.PROTOCOLS: web,
        pycurl.REDIR_PROTOCOLS: web,
        pycurl.FOLLOWLOCATION: 0,
        pycurl.NOSIGNAL: 1,
        pycurl.NETRC: pycurl.NETRC_IGNORED,
        # An empty text means no proxy, even if the environment names one.
        pycurl.PROXY: options.proxy,
        pycurl.NOPROXY: "",
        _SUPPRESS_CONNECT_HEADERS: 1,
        pycurl.CAINFO: bundle,
        pycurl.PROXY_CAINFO: bundle,
        pycurl.SSL_VERIFYPEER: 1,
        pycurl.SSL_VERIFYHOST: 2,
        pycurl.SSLVERSION: pycurl.SSLVERSION_TLSv1_2,
        pycurl.HTTP_VERSION: pycurl.CURL_HTTP_VERSION_2TLS,
        pycurl.HTTP09_ALLOWED: 0,
        pycurl.HTTP_CONTENT_DECODING: 0,
        pycurl.PATH_AS_IS: 1,
        pycurl.CONNECTTIMEOUT_MS: max(int(options.connect_timeout_s * 1000), 1),
        pycurl.MAXAGE_CONN: MAX_IDLE_S if options.repeats else MAX_IDLE_ONCE_S,
        pycurl.MAXLIFETIME_CONN: MAX_AGE_S,
    }
