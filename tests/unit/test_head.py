"""Heads of responses: what is read of them, where they leave the body's end, and what is refused."""

from __future__ import annotations

import io
from http.client import HTTPException, HTTPResponse
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from worker.transport.head import MAX_FIELDS, Head, read_head


def head(*lines: str, status: str = "HTTP/1.1 200 OK") -> Head:
    return read_head("\r\n".join([status, *lines]))


def test_status_and_headers_are_read() -> None:
    read = head(
        "Content-Type: application/json", "Content-Length: 17", status="HTTP/1.1 503 Service Unavailable"
    )
    assert read.status == 503
    assert dict(read.headers) == {"Content-Type": "application/json", "Content-Length": "17"}
    assert (read.length, read.chunked, read.kept) == (17, False, True)


def test_names_of_headers_have_no_case() -> None:
    read = head("content-LENGTH: 3", "RETRY-AFTER: 10s")
    assert read.length == 3
    assert read.headers["Retry-After"] == "10s"


@pytest.mark.parametrize("value", ["x", " x", "x ", "\t x \t", "  x"])
def test_white_space_around_a_value_is_no_part_of_it(value: str) -> None:
    assert head(f"A:{value}").headers["A"] == "x"


def test_white_space_within_a_value_is() -> None:
    assert head("Date: Mon, 01 Jan 2027 00:00:00 GMT").headers["Date"] == "Mon, 01 Jan 2027 00:00:00 GMT"
    assert head("A:", "B: \t", "Content-Length: 0").headers == {"A": "", "B": "", "Content-Length": "0"}


def test_a_header_that_stands_several_times_is_joined() -> None:
    assert head("Via: a", "via: b", "VIA: c").headers["Via"] == "a, b, c"


def test_lines_may_end_without_a_carriage_return() -> None:
    read = read_head("HTTP/1.1 200 OK\nContent-Length: 5\nA: b")
    assert (read.length, read.headers["A"], read.kept) == (5, "b", True)


@pytest.mark.parametrize("status", ["HTTP/1.1 204 No Content", "HTTP/1.1 304 Not Modified"])
def test_what_has_no_body_ends_with_its_head(status: str) -> None:
    for line in ("Content-Length: 5", "Transfer-Encoding: chunked", "A: b"):
        read = head(line, status=status)
        assert (read.length, read.chunked, read.kept) == (0, False, False)


@pytest.mark.parametrize("coding", ["chunked", "Chunked", "CHUNKED"])
def test_chunks_are_known_by_their_coding(coding: str) -> None:
    read = head(f"Transfer-Encoding: {coding}")
    assert (read.length, read.chunked, read.kept) == (None, True, True)


def test_without_length_and_chunks_a_body_ends_with_its_connection() -> None:
    read = head("A: b")
    assert (read.length, read.chunked, read.kept) == (None, False, False)
    assert read_head("HTTP/1.1 200 OK").length is None


@pytest.mark.parametrize(
    ("status", "connection", "kept"),
    [
        ("HTTP/1.1 200 OK", "A: b", True),
        ("HTTP/1.1 200 OK", "Connection: keep-alive", True),
        ("HTTP/1.1 200 OK", "Connection: close", False),
        ("HTTP/1.1 200 OK", "Connection: Close", False),
        ("HTTP/1.1 200 OK", "Connection: TE, close", False),
        ("HTTP/1.0 200 OK", "A: b", False),
        ("HTTP/1.0 200 OK", "Connection: Keep-Alive", True),
    ],
)
def test_a_connection_is_kept_as_its_version_says(status: str, connection: str, kept: bool) -> None:
    assert head("Content-Length: 5", connection, status=status).kept is kept


UNCLEAR = {
    "a length beside chunks": ["Content-Length: 5", "Transfer-Encoding: chunked"],
    "a line that is no header": ["Content-Length: 5", "no header"],
    "a space before the colon": ["Content-Length: 5", "Transfer-Encoding : chunked"],
    "a line that goes on": ["Content-Length: 5", "A: b", " c"],
    "a name that is none": ["Content-Length: 5", "A(b): c"],
    "no name": ["Content-Length: 5", ": c"],
    "a carriage return within a value": ["Content-Length: 5", "A: b\rTransfer-Encoding: chunked"],
}


@pytest.mark.parametrize("lines", UNCLEAR.values(), ids=UNCLEAR)
def test_where_two_readers_may_see_two_things_the_connection_is_not_used_again(lines: list[str]) -> None:
    read = head(*lines)
    assert read.status == 200
    assert not read.kept


def test_chunks_count_more_than_a_length() -> None:
    read = head("Content-Length: 5", "Transfer-Encoding: chunked")
    assert (read.length, read.chunked) == (None, True)


def test_twice_the_same_length_is_one() -> None:
    assert head("Content-Length: 5", "Content-Length: 5").length == 5
    assert head("Content-Length: 5, 5").length == 5


REFUSED = {
    "nothing": "",
    "another protocol": "SSH-2.0-x",
    "another version": "HTTP/2 200 OK",
    "a version that is none": "HTTP/1.2 200 OK",
    "no status": "HTTP/1.1",
    "a status of two digits": "HTTP/1.1 20 OK",
    "a status of four digits": "HTTP/1.1 2000 OK",
    "a status below all": "HTTP/1.1 099 OK",
    "a status of words": "HTTP/1.1 OK",
    "digits of another script": "HTTP/1.1 \u00b2\u00b2\u00b2 OK",
    "two lengths": "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6",
    "two lengths in one": "HTTP/1.1 200 OK\r\nContent-Length: 5, 6",
    "a negative length": "HTTP/1.1 200 OK\r\nContent-Length: -1",
    "a length with a sign": "HTTP/1.1 200 OK\r\nContent-Length: +5",
    "a length of another script": "HTTP/1.1 200 OK\r\nContent-Length: \u00b2",
    "a length of words": "HTTP/1.1 200 OK\r\nContent-Length: five",
    "no length": "HTTP/1.1 200 OK\r\nContent-Length:",
    "a length beyond all": "HTTP/1.1 200 OK\r\nContent-Length: " + "9" * 19,
    "a coding that nobody asked for": "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked",
    "chunks twice": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "too many headers": "HTTP/1.1 200 OK\r\n" + "\r\n".join(["A: b"] * (MAX_FIELDS + 1)),
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_read_safely_is_refused(text: str) -> None:
    with pytest.raises(HTTPException):
        read_head(text)


def test_as_many_headers_as_allowed_are_read() -> None:
    assert head(*["A: b"] * MAX_FIELDS).headers["A"].count("b") == MAX_FIELDS


# Beside Python's own reader


class Heard:
    """A socket on which all has been received."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def makefile(self, *_: Any) -> io.BytesIO:
        return io.BytesIO(self._raw)


def by_python(text: str) -> HTTPResponse:
    response = HTTPResponse(Heard(f"{text}\r\n\r\n".encode("latin-1")), method="POST")  # type: ignore[arg-type]
    response.begin()
    return response


names = st.sampled_from(
    ["Content-Length", "content-length", "Transfer-Encoding", "Connection", "Date", "X-A", "x-a", "no name"]
)
values = st.sampled_from(
    ["5", "0", "17", "-1", "chunked", "gzip", "close", "keep-alive", "", "a b", "x:y", "  z  "]
)
statuses = st.sampled_from(
    [
        "HTTP/1.1 200 OK",
        "HTTP/1.0 200 OK",
        "HTTP/1.1 404 Not Found",
        "HTTP/1.1 204 X",
        "HTTP/1.1 302",
        "HTTP/1.1 500 ",
    ]
)


@settings(deadline=None, max_examples=500)
@given(statuses, st.lists(st.tuples(names, values), max_size=5))
@example("HTTP/1.1 200 OK", [("Content-Length", "5"), ("Content-Length", "17")])
def test_what_is_kept_ends_where_python_sees_its_end(status: str, fields: list[tuple[str, str]]) -> None:
    """`http.client` reads a status and headers as we do, and where we keep a connection it would do so, too."""
    text = "\r\n".join([status, *(f"{name}: {value}" for name, value in fields)])
    try:
        ours = read_head(text)
    except HTTPException:
        return
    theirs = by_python(text)
    assert ours.status == theirs.status
    if ours.kept:
        assert (ours.length, ours.chunked, False) == (theirs.length, theirs.chunked, theirs.will_close)
        assert {name.lower() for name in ours.headers} == {name.lower() for name in theirs.headers}
