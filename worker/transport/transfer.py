"""One exchange over libcurl: its head as it comes, and its body once somebody says how much it may be."""

from __future__ import annotations

import re
from http import HTTPStatus
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, Final

from requests.structures import CaseInsensitiveDict

from worker.transport.curl import pycurl

if TYPE_CHECKING:
    from worker.transport.adapter import Handle
    from worker.transport.body import Body

#: Headers above a body, or trailers below it; `http.client` takes as many.
MAX_FIELDS: Final = 100

#: Informational responses before the one that counts.
MAX_INFORMATIONAL: Final = 100

#: What is taken of a body before somebody says how large it may be.
BEFORE_LIMIT: Final = 65_536

#: RFC 9110, section 5.1: the name of a header.
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

_REFUSED: Final = 0  # of libcurl's callbacks: end the transfer
_NOT_YET: Final[int] = pycurl.WRITEFUNC_PAUSE


class Transfer:
    """What has come of one exchange. Its callbacks run within libcurl: they take notes and wait for nothing."""

    def __init__(self, handle: Handle, *, is_tls: bool) -> None:
        self.is_tls = is_tls
        self.handle: Handle | None = handle
        self.engine = handle.engine
        self.curl = handle.curl
        #: Whoever waits for it, on gevent's loop.
        self.waiter: Any = None
        self.status = 0
        self.headers: CaseInsensitiveDict[str] = CaseInsensitiveDict()
        self.has_head = False
        #: Whether a single byte has come.
        self.touched = False
        self.connected = False
        #: Whether an address was dialled, and whether one was refused.
        self.dialled = False
        self.refused_addresses = False
        #: Two readers may see two ends: the connection is not used again.
        self.unclear = False
        #: Over HTTP/2: what is behind a response belongs to no other one.
        self.multiplexed = False
        self.code: int | None = None
        self.error: Exception | None = None
        self.body: Body | None = None
        # Within a head: a header may look like another status line.
        self._begun = False
        self._fields = 0
        self._informational = 0
        self._early = bytearray()
        self._paused = False
        self._resting = False

    @property
    def ended(self) -> bool:
        return self.code is not None

    @property
    def may_hide_bytes(self) -> bool:
        """Whether bytes behind the body may lie decrypted within TLS, where nobody sees them.

        libcurl reads chunks to the end of their record, and a body with a length not a byte further.
        """
        return self.is_tls and not self.multiplexed and "Transfer-Encoding" not in self.headers

    def on_header(self, line: bytes) -> int | None:
        self.touched = self.connected = True
        if self.has_head:
            return self._on_trailer(line)
        if not self._begun and line.startswith(b"HTTP/"):
            self._begin(line)
        elif line in {b"\r\n", b"\n"}:
            return self._end_head()
        else:
            return self._on_field(line)
        return None

    def on_body(self, data: bytes) -> int | None:
        if self.engine.turn_is_over:
            self._rest()
            return _NOT_YET
        return self._on_early(data) if self.body is None else self._take(data)

    def allow(self, body: Body) -> None:
        """Take the body, and what has come of it already."""
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
        except pycurl.error:  # what had come meanwhile was refused
            self.engine.fail(self, pycurl.E_WRITE_ERROR)

    def end(self, code: int) -> None:
        """Called by the engine."""
        self.connected = self.connected or self.curl.getinfo(pycurl.CONNECT_TIME) > 0
        self.code = code

    def _begin(self, line: bytes) -> None:
        self._begun = True
        self.headers.clear()
        self._fields = 0
        self.unclear = False
        self.multiplexed = line[5:6] == b"2"
        self.status = int(line.split(None, 2)[1][:3])

    def _on_field(self, line: bytes) -> int | None:
        self._fields += 1
        if self._fields > MAX_FIELDS:
            return self._refuse(HTTPException("too many headers"))
        name, colon, value = line.decode("latin-1").partition(":")
        value = value.strip(" \t\r\n")
        if not colon or not _TOKEN.fullmatch(name) or "\r" in value:
            self.unclear = True
            return None
        self.headers[name] = f"{self.headers[name]}, {value}" if name in self.headers else value
        return None

    def _end_head(self) -> int | None:
        if self.status < HTTPStatus.OK:
            self._begun = False
            self._informational += 1
            too_many = self._informational > MAX_INFORMATIONAL
            return self._refuse(HTTPException("too many informational responses")) if too_many else None
        self.has_head = True
        self._fields = 0
        length = self.headers.get("Content-Length")
        if length is not None:
            if "," in length and len({each.strip() for each in length.split(",")}) > 1:
                return self._refuse(HTTPException("two lengths"))
            if "Transfer-Encoding" in self.headers:
                self.unclear = True
        self.engine.noted.append(self)
        return None

    def _on_trailer(self, _: bytes) -> int | None:
        self._fields += 1
        return self._refuse(HTTPException("too many trailers")) if self._fields > MAX_FIELDS else None

    def _on_early(self, data: bytes) -> int | None:
        if len(self._early) > BEFORE_LIMIT:
            self._paused = True
            return _NOT_YET
        self._early += data
        return None

    def _take(self, data: bytes) -> int | None:
        assert self.body is not None  # noqa: S101 - for mypy
        try:
            self.body.add(data)
        except Exception as error:  # noqa: BLE001 - raised where the body is read
            return self._refuse(error)
        return None

    def _refuse(self, error: Exception) -> int:
        self.error = error
        return _REFUSED
