"""A response is the same in however many pieces it arrives, and what comes behind it is seen."""

from __future__ import annotations

from http.client import IncompleteRead, RemoteDisconnected
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.transport.body import BodyTooLarge
from worker.transport.reply import Reply

if TYPE_CHECKING:
    from collections.abc import Iterable

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nanswer"
CHUNKS = (
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3;a=b\r\nans\r\n3\r\nwer\r\n0\r\nA: b\r\n\r\n"
)


class Heard:
    """A socket on which these pieces arrive, one at a time, and then the end."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = list(pieces)

    def recv(self, at_most: int) -> bytes:
        if not self._pieces:
            return b""
        piece, rest = self._pieces[0][:at_most], self._pieces[0][at_most:]
        self._pieces[:1] = [rest] if rest else []
        return piece


def read(pieces: Iterable[bytes]) -> tuple[bytes, bool]:
    """The body, and whether the connection may be used again, which is said once."""
    given_back: list[Reply] = []
    sock: Any = Heard(pieces)
    reply = Reply(sock, given_back.append)
    body = reply.body(6)
    reply.close()
    reply.close()
    assert given_back == [reply]
    return body, reply.leaves_usable


@st.composite
def in_pieces(draw: st.DrawFn, raw: bytes) -> list[bytes]:
    cuts = sorted(draw(st.sets(st.integers(1, len(raw) - 1), max_size=12)))
    return [raw[start:end] for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True)]


@settings(deadline=None)
@given(in_pieces(LENGTH) | in_pieces(CHUNKS))
def test_a_response_is_the_same_in_whatever_pieces_it_comes(pieces: list[bytes]) -> None:
    assert read(pieces) == (b"answer", True)


@pytest.mark.parametrize("raw", [LENGTH, CHUNKS], ids=["with a length", "in chunks"])
def test_a_response_is_the_same_byte_by_byte(raw: bytes) -> None:
    assert read(bytes([byte]) for byte in raw) == (b"answer", True)


@pytest.mark.parametrize("raw", [LENGTH, CHUNKS], ids=["with a length", "in chunks"])
def test_what_comes_behind_it_is_not_read_and_ends_the_connection(raw: bytes) -> None:
    assert read([raw + b"\n"]) == (b"answer", False)
    assert read([raw + LENGTH]) == (b"answer", False)


@pytest.mark.parametrize("raw", [LENGTH, CHUNKS], ids=["with a length", "in chunks"])
def test_a_response_that_is_cut_anywhere_is_never_taken_for_whole(raw: bytes) -> None:
    with pytest.raises(RemoteDisconnected):
        read([])
    for end in range(1, len(raw)):
        with pytest.raises(IncompleteRead):
            read([raw[:end]])


@pytest.mark.parametrize("raw", [LENGTH, CHUNKS], ids=["with a length", "in chunks"])
def test_a_response_larger_than_allowed_is_refused_and_ends_the_connection(raw: bytes) -> None:
    given_back: list[Reply] = []
    sock: Any = Heard([raw])
    reply = Reply(sock, given_back.append)
    with pytest.raises(BodyTooLarge):
        reply.body(5)
    reply.close()
    assert [each.leaves_usable for each in given_back] == [False]


def test_a_response_whose_body_nobody_read_ends_the_connection() -> None:
    given_back: list[Reply] = []
    sock: Any = Heard([LENGTH])
    Reply(sock, given_back.append).close()
    assert [each.leaves_usable for each in given_back] == [False]
