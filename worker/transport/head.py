"""What stands above the body of a response of HTTP/1.1. Nothing here does I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPException
from typing import Final

from requests.structures import CaseInsensitiveDict

#: Headers above a body, or trailers below it; `http.client` takes as many.
MAX_FIELDS: Final = 100

_NO_BODY: Final = {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}

_STATUS_LINE: Final = re.compile(r"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [^\r\n]*)?\r?")

#: RFC 9110, section 5: a name is a token, and white space around a value is no part of it.
_FIELD: Final = re.compile(
    r"^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n]*[^\r\n \t]|)[ \t]*\r?$", re.MULTILINE
)

#: More digits than any body needs.
_LENGTH: Final = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Head:
    """The status, the headers, and how the body ends.

    Parameters:
        headers: told apart without regard to case; what stands several times is joined by commas.
        length: of the body in bytes; None where its chunks say so, or the end of the connection.
        kept: whether the connection may be used again once the body has been read.
    """

    status: int
    headers: CaseInsensitiveDict[str] = field(repr=False)
    length: int | None
    chunked: bool
    kept: bool


def read_head(text: str) -> Head:
    """The head of a response, without the blank line that ends it.

    It is lenient as `requests` is: what is no header is passed over, and chunks count more than a length. But a
    connection on which two readers may see two things is not used again. Raises ``HTTPException`` for what is no
    HTTP, and where nobody can tell how the body ends.
    """
    first, _, rest = text.partition("\n")
    status_line = _STATUS_LINE.fullmatch(first)
    if not status_line:
        raise HTTPException("not the status of HTTP/1.1")
    lines = rest.count("\n") + bool(rest)
    if lines > MAX_FIELDS:
        raise HTTPException("too many headers")
    minor, status = status_line[1], int(status_line[2])
    fields = _FIELD.findall(rest)
    headers = _headers(fields)
    chunked, length = _is_chunked(headers), _length(headers)
    clear = len(fields) == lines and chunked is (length is None)  # one of the two says where the body ends
    if status in _NO_BODY:
        chunked, length, clear = False, 0, False
    kept = clear and _is_kept(minor, headers)
    return Head(status, headers, None if chunked else length, chunked, kept)


def _headers(fields: list[tuple[str, str]]) -> CaseInsensitiveDict[str]:
    headers = CaseInsensitiveDict(fields)
    if len(headers) < len(fields):
        headers.clear()
        for name, value in fields:
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _is_chunked(headers: CaseInsensitiveDict[str]) -> bool:
    coding = headers.get("Transfer-Encoding", "").lower()
    if coding not in {"", "chunked"}:
        raise HTTPException("a transfer coding that nobody asked for")
    return bool(coding)


def _length(headers: CaseInsensitiveDict[str]) -> int | None:
    said = headers.get("Content-Length")
    if said is None:
        return None
    if "," in said and len({length.strip() for length in said.split(",")}) == 1:
        said = said.partition(",")[0]  # the same twice is no contradiction
    if not _LENGTH.fullmatch(said):
        raise HTTPException("not a length")
    return int(said)


def _is_kept(minor: str, headers: CaseInsensitiveDict[str]) -> bool:
    """The two versions differ in what a connection is when nothing is said of it."""
    said = headers.get("Connection", "").lower()
    return "close" not in said if minor == "1" else "keep-alive" in said
