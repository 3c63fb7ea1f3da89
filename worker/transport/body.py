"""Reading a body without trusting its size."""

from __future__ import annotations

import zlib
from http.client import HTTPException
from typing import TYPE_CHECKING, Final, cast

import requests
from requests.exceptions import ContentDecodingError

if TYPE_CHECKING:
    from worker.transport.reply import Reply

MIB: Final = 1024 * 1024

#: What servers use that pack although nobody asked; zlib goes by the name of deflate.
_CODINGS: Final = {"gzip", "x-gzip", "deflate"}


class BodyTooLarge(requests.RequestException):
    """A body is, or unpacks to, more than it may be."""


def read_bounded(response: requests.Response, max_bytes: int) -> bytes:
    """The whole body of a response of our sessions: at most `max_bytes`, on the wire as well as unpacked.

    Raises ``BodyTooLarge``, and another ``requests.RequestException`` where the body does not arrive whole.
    """
    coding = response.headers.get("Content-Encoding", "identity").lower()
    try:
        body = cast("Reply", response.raw).body(max_bytes)
    except BodyTooLarge:
        raise
    except (OSError, HTTPException) as error:
        raise requests.ConnectionError(error) from error
    return body if coding == "identity" else _unpacked(body, coding, max_bytes)


def _unpacked(packed: bytes, coding: str, max_bytes: int) -> bytes:
    if coding not in _CODINGS:
        raise ContentDecodingError("packed in a way that nobody asked for")
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # 32: gzip or zlib, as its first bytes say
    try:
        body = unpacker.decompress(packed, max_bytes + 1)
    except zlib.error as error:
        raise ContentDecodingError("packed, and broken") from error
    if len(body) > max_bytes:
        raise BodyTooLarge
    if not unpacker.eof:
        raise ContentDecodingError("packed, and cut off")
    return body
