"""One exchange over libcurl: its head as it arrives, and its body once the caller has set a limit."""

from __future__ import annotations

from http import HTTPStatus
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, Final

from worker.http_client.curl import pycurl
from worker.http_client.headers import Headers

if TYPE_CHECKING:
    from worker.http_client.adapter import Handle
    from worker.http_client.body import Body

#: The most headers before a body, or trailers after it; the same as in `http.client`.
MAX_FIELDS: Final = 100

#: The most informational responses before the final response.
MAX_INFORMATIONAL: Final = 100

#: Bytes of a body that are buffered before the caller sets its limit.
BEFORE_LIMIT: Final = 65_536

_BLANK: Final = (b"\r\n", b"\n")
_LONGEST_BLANK: Final = 2
_NO_HEADERS: Final = Headers({})
_REFUSED: Final = 0  # of libcurl's callbacks: end the transfer
_NOT_YET: Final[int] = pycurl.WRITEFUNC_PAUSE

#: Pieces of a body that are taken even if the turn is over. libcurl discards paused bytes if the bytes behind them are
#: malformed, and a malformed answer must still name its id. A usual answer of the vendor has fewer pieces.
PIECES_AT_ONCE: Final = 64


class Transfer:
    """The state of one exchange. Its callbacks run within libcurl: they only record data and never block."""

    def __init__(self, handle: Handle, *, is_tls: bool) -> None:
        self.is_tls = is_tls
        self.handle: Handle | None = handle
        self.engine = handle.engine
        self.curl = handle.curl
        #: The waiter of the greenlet that waits for it, on gevent's loop.
        self.waiter: Any = None
        self.status = 0
        self.headers = _NO_HEADERS
        self.has_head = False
        self._connected = False
        #: Whether any address was dialled, and whether any was refused.
        self.dialled = False
        self.refused_addresses = False
        #: Two parsers may see different ends of the response: the connection is not reused.
        self.unclear = False
        #: Over HTTP/2, where bytes after a response cannot belong to another.
        self.multiplexed = False
        self.code: int | None = None
        self.error: Exception | None = None
        self.body: Body | None = None
        # The arriving head: the status line, and a line for each header. After the head: the trailers.
        self._lines: list[bytes] = []
        self._informational = 0
        self._early = bytearray()
        self._paused = False
        self._pieces = 0
        self._resting = False
        self._connection_id: int | None = None

    @property
    def ended(self) -> bool:
        return self.code is not None

    @property
    def may_hide_bytes(self) -> bool:
        """Whether decrypted bytes after the body may be in the TLS layer, where no check sees them.

        libcurl reads chunks to the end of their record, but a body with a length only to its last byte.
        """
        return self.is_tls and not self.multiplexed and "Transfer-Encoding" not in self.headers

    @property
    def touched(self) -> bool:
        """Whether any line has arrived."""
        return self.has_head or bool(self._lines) or self._informational > 0

    @property
    def connected(self) -> bool:
        return self._connected or self.touched

    def on_header(self, line: bytes) -> int | None:
        lines = self._lines
        lines.append(line)
        if len(line) > _LONGEST_BLANK and len(lines) <= MAX_FIELDS:
            return None  # the common case: lines are parsed at the end of the head
        if line not in _BLANK:
            return self._refuse_too_many()
        return None if self.has_head else self._end_head()

    def on_body(self, data: bytes) -> int | None:
        self._pieces += 1
        if self._pieces > PIECES_AT_ONCE and self.engine.turn_is_over:
            self._rest()
            return self._not_yet()
        return self._on_early(data) if self.body is None else self._take(data)

    def allow(self, body: Body) -> None:
        """Set the body, and pass it the bytes that have arrived already."""
        self.body = body
        early, self._early = bytes(self._early), bytearray()
        if early and self._take(early) is _REFUSED:
            self.engine.stop(self)
            self.code = pycurl.E_WRITE_ERROR
            return
        if self._paused and not self.ended:
            self._rest()

    def _rest(self) -> None:
        if not self._resting:
            self._resting = True
            self.engine.rest(self)

    def resume(self) -> None:
        self._resting = False
        try:
            self.curl.pause(pycurl.PAUSE_CONT)
        except pycurl.error:  # a callback refused data that arrived meanwhile
            self.engine.fail(self, pycurl.E_WRITE_ERROR)

    @property
    def connection_id(self) -> int:
        """The number of the connection, stored at the end: libcurl forgets it if the transfer closed the connection."""
        return self.curl.getinfo(pycurl.CONN_ID) if self._connection_id is None else self._connection_id

    def end(self, code: int) -> None:
        """Set the result code. Called by the engine."""
        self._connection_id = self.curl.getinfo(pycurl.CONN_ID)
        self._connected = self.touched or self.curl.getinfo(pycurl.CONNECT_TIME) > 0
        self.code = code

    def _refuse_too_many(self) -> int | None:
        if self.has_head and len(self._lines) > MAX_FIELDS:
            return self._refuse(HTTPException("too many trailers"))
        if len(self._lines) > MAX_FIELDS + 1:  # plus the status line
            return self._refuse(HTTPException("too many headers"))
        return None

    def _end_head(self) -> int | None:
        (status, *fields, _), self._lines = self._lines, []
        self.multiplexed = status[5:6] == b"2"
        self.status = int(status.split(None, 2)[1][:3])
        if self.status < HTTPStatus.OK:
            self._informational += 1
            too_many = self._informational > MAX_INFORMATIONAL
            return self._refuse(HTTPException("too many informational responses")) if too_many else None
        self.headers, clear = Headers.of(fields)
        self.unclear = not clear
        self.has_head = True
        length = self.headers.get("Content-Length")
        if length is not None:
            if "," in length and len({each.strip() for each in length.split(",")}) > 1:
                return self._refuse(HTTPException("two lengths"))
            if "Transfer-Encoding" in self.headers:
                self.unclear = True
        self.engine.noted.append(self)
        return None

    def _on_early(self, data: bytes) -> int | None:
        if len(self._early) > BEFORE_LIMIT:
            self._paused = True
            return self._not_yet()
        self._early += data
        return None

    def _not_yet(self) -> int:
        self.engine.paused.append(self)
        return _NOT_YET

    def _take(self, data: bytes) -> int | None:
        assert self.body is not None  # noqa: S101 - for mypy
        try:
            self.body.add(data)
        except Exception as error:  # noqa: BLE001 - raised where the body is read
            return self._refuse(error)
        return None

    def _refuse(self, error: Exception) -> int:
        self.error = error.with_traceback(None)  # the traceback refers to this transfer
        return _REFUSED
