"""Reading a body without trusting its size."""

from __future__ import annotations

import zlib
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, cast

import requests
from requests.exceptions import ContentDecodingError

if TYPE_CHECKING:
    from worker.http_client.reply import Reply

MIB: Final = 1024 * 1024

#: Codings of servers that compress without a request for it; `deflate` means zlib.
_PACKED: Final = {"gzip", "x-gzip", "deflate"}

#: Known codings that we cannot decode. Any other name is not a coding, and the bytes are used as they are.
_UNKNOWN: Final = {"br", "zstd", "compress", "x-compress", "dcb", "dcz"}

#: The most members of a gzip body. Programs that compress in parallel create one for each 128 kB or so.
MAX_MEMBERS: Final = 1000

_GZIP_OR_ZLIB: Final = zlib.MAX_WBITS | 32


class BodyTooLarge(requests.RequestException):
    """Raised when a body exceeds its limit, compressed or decompressed."""


def read_bounded(response: requests.Response, max_bytes: int) -> bytes:
    """Return the whole body of a response of our sessions: at most `max_bytes`, on the wire and decompressed.

    A body with surplus bytes counts as broken. Raises ``BodyTooLarge``, and another ``requests.RequestException`` if
    the body does not arrive whole.
    """
    body, error = read_what_comes(response, max_bytes)
    if error is None:
        return body
    try:
        raise error
    finally:
        del error  # its traceback refers to this frame, and so to the body


def read_what_comes(
    response: requests.Response, max_bytes: int
) -> tuple[bytes, requests.RequestException | None]:
    """Read as ``read_bounded``, but return the part of the body that arrived, and the error instead of raising it."""
    headers = response.headers
    try:
        body = Body(max_bytes, headers.get("Content-Encoding", ""), headers.get("Content-Length"))
    except requests.RequestException as error:
        return b"", error
    try:
        return cast("Reply", response.raw).read(body), None
    except requests.RequestException as error:
        return body.so_far(), error


class Body:
    """A body, decompressed as it arrives.

    Parameters:
        coding: the header `Content-Encoding`.
        length: the header `Content-Length`, if there is one.
    """

    def __init__(self, max_bytes: int, coding: str, length: str | None) -> None:
        names = [name.strip() for name in coding.lower().split(",")] if coding else []
        packings = [name for name in names if name in _PACKED]
        if len(packings) > 1 or not _UNKNOWN.isdisjoint(names):
            raise ContentDecodingError("the coding is not supported")
        if length is not None and length.isdecimal() and int(length[:18]) > max_bytes:
            raise BodyTooLarge
        self._max_bytes = max_bytes
        self._packing = packings[0] if packings else None
        self._unpacker: Any = zlib.decompressobj(wbits=_GZIP_OR_ZLIB) if packings else None
        self._members = 0
        self._between = False
        self._received = 0
        self._size = 0
        self._room = 0
        self._buffer = BytesIO()

    def add(self, data: bytes) -> None:
        """Add bytes from the wire. Raises ``BodyTooLarge`` and ``ContentDecodingError``."""
        self._received += len(data)
        if self._received > self._max_bytes:
            raise BodyTooLarge
        if self._unpacker is None:
            self._keep(data)
        else:
            self._unpack(data)

    def whole(self) -> bytes:
        """Return the whole body. Raises ``ContentDecodingError`` if it is cut off."""
        if self._unpacker is not None and not self._between:
            raise ContentDecodingError("the compressed body is cut off")
        return self.so_far()

    def so_far(self) -> bytes:
        """Return the bytes that have arrived and could be decompressed, within the limit."""
        self._buffer.truncate(min(self._size, self._max_bytes))
        return self._buffer.getvalue()

    def _unpack(self, data: bytes) -> None:
        while data:
            if self._between:
                self._next_member()
            try:
                unpacked = self._unpacker.decompress(data, self._max_bytes - self._size + 1)
            except zlib.error as error:
                raise ContentDecodingError("the compressed body is broken") from error
            self._keep(unpacked)
            self._between = self._unpacker.eof
            data = self._unpacker.unused_data if self._between else self._unpacker.unconsumed_tail

    def _next_member(self) -> None:
        self._members += 1
        if self._members >= MAX_MEMBERS:
            raise BodyTooLarge
        if self._packing == "deflate":
            raise ContentDecodingError("bytes follow the compressed body")
        self._unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        self._between = False

    def _keep(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._max_bytes:
            raise BodyTooLarge
        if self._size > self._room and self._size > MIB:
            # A growing buffer takes an eighth more than the limit. Unwritten pages of a full-size buffer cost nothing.
            self._buffer, grown = BytesIO(bytes(self._max_bytes)), self._buffer
            self._buffer.write(grown.getbuffer())
            self._room = self._max_bytes
        self._buffer.write(data)
