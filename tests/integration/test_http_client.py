"""Promises of `worker.http_client`, against servers that behave and servers that do not."""

from __future__ import annotations

import gzip
import itertools
import socket
import struct
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Barrier, Event
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.support.certificates import server_side
from tests.support.vendor_stub import HANG_UP, Call, Stub, http
from worker import http_client
from worker.http_client import MIB, BodyTooLarge, deadline, fault, read_bounded
from worker.http_client.deadline import time_left_s

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

#: A deadline that does not hold shows as a test that hangs.
pytestmark = pytest.mark.timeout(30)


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with http_client.session() as session:
        yield session


@pytest.fixture
def public() -> Iterator[requests.Session]:
    with http_client.public_session() as session:
        yield session


def get(session: requests.Session, url: str, *, total_s: float = 10.0, max_bytes: int = MIB) -> bytes:
    with deadline(total_s), session.get(url, stream=True) as response:
        return read_bounded(response, max_bytes)


def failing(session: requests.Session, url: str, *, total_s: float = 10.0, max_bytes: int = MIB) -> str:
    """The word for how `get` fails."""
    with pytest.raises(requests.RequestException) as caught:
        get(session, url, total_s=total_s, max_bytes=max_bytes)
    return fault(caught.value)


def always(*parts: Any) -> Callable[[Call], Iterable[Any]]:
    return lambda _: parts


def drip(first: bytes, forever: bytes) -> Callable[[Call], Iterable[Any]]:
    """Send `first`, then a byte of `forever` every 50 ms without end."""

    def reply(_: Call) -> Iterator[Any]:
        yield first
        for byte in itertools.cycle(forever):
            yield bytes([byte])
            yield 0.05

    return reply


DRIPS = {
    "status line": drip(b"HTTP/1.1 200 ", b"O"),
    "headers": drip(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"),
    "body with a length": drip(http(b"", Content_Length="1000000"), b"x"),
    "body without a length": drip(http(b"", framed=False), b"x"),
    "size of a chunk": drip(http(b"", framed=False, Transfer_Encoding="chunked"), b"0"),
    "extension of a chunk": drip(http(b"1;", framed=False, Transfer_Encoding="chunked"), b"x"),
    "chunks": drip(http(b"", framed=False, Transfer_Encoding="chunked"), b"1\r\nx\r\n"),
    "trailers": drip(http(b"0\r\n", framed=False, Transfer_Encoding="chunked"), b"A: b\r\n"),
    "interim responses": drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "silence": always(60.0),
}


@pytest.mark.parametrize("reply", DRIPS.values(), ids=DRIPS)
def test_a_server_that_drips_is_cut_off_at_the_deadline(
    session: requests.Session, reply: Callable[[Call], Iterable[Any]]
) -> None:
    with Stub(reply) as server:
        assert failing(session, server.origin, total_s=0.2) == "TIMEOUT"


def test_a_tls_handshake_that_drips_is_cut_off_at_the_deadline(session: requests.Session) -> None:
    """The server speaks a record of 16 kB, a byte at a time."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as server:

        def handshake() -> None:
            sock, _ = listener.accept()
            with sock:
                sock.sendall(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03")
                while not sock.recv(1):
                    pass
                for _ in range(400):
                    try:
                        sock.sendall(b"\x00")
                    except OSError:
                        return
                    Event().wait(0.05)

        server.submit(handshake)
        assert failing(session, f"https://127.0.0.1:{listener.getsockname()[1]}", total_s=0.2) == "TIMEOUT"


def test_a_request_that_nobody_reads_is_cut_off_at_the_deadline(session: requests.Session) -> None:
    """Also on a connection that an earlier call, with more time, has left behind."""
    over = Event()

    def answer_once(listener: socket.socket) -> None:
        sock, _ = listener.accept()
        with sock:
            sock.recv(65536)
            sock.sendall(http(b"answer"))
            over.wait(60)

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as server:
        server.submit(answer_once, listener)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            assert get(session, url, total_s=50.0) == b"answer"
            with pytest.raises(requests.RequestException) as caught, deadline(0.2):
                session.post(url, data=bytes(64 * MIB), stream=True)
        finally:
            over.set()
    assert fault(caught.value) == "TIMEOUT"


def test_a_host_that_does_not_take_the_connection_is_given_up_after_the_connect_timeout() -> None:
    """Long before the deadline: its queue of connections is full, so our SYN is not answered."""
    with socket.socket() as listener, http_client.session(connect_timeout_s=0.3) as session:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        queue = [socket.socket() for _ in range(4)]
        for waiting in queue:
            waiting.settimeout(0.0)
            waiting.connect_ex(listener.getsockname())
        try:
            with deadline(1000.0), pytest.raises(requests.ConnectTimeout):
                session.get(f"http://127.0.0.1:{listener.getsockname()[1]}")
        finally:
            for waiting in queue:
                waiting.close()


def test_the_earliest_of_nested_deadlines_counts(session: requests.Session) -> None:
    with Stub(DRIPS["chunks"]) as server, deadline(0.2):
        assert failing(session, server.origin, total_s=1000.0) == "TIMEOUT"
        assert time_left_s() == 0.0


def test_nothing_is_sent_once_the_deadline_has_passed(session: requests.Session) -> None:
    with Stub(always(http(b"answer"))) as server:
        assert get(session, server.origin) == b"answer"
        assert failing(session, server.origin, total_s=0.0) == "TIMEOUT"
        assert len(server.calls) == 1


def test_no_exchange_without_a_deadline(session: requests.Session) -> None:
    """Who forgets it learns so at the first call, not on the day a server hangs."""
    with Stub(always(http())) as server, pytest.raises(LookupError):
        session.get(server.origin)


def test_deadlines_of_threads_are_their_own(session: requests.Session) -> None:
    meet = Barrier(2)

    def reply(call: Call) -> Iterator[Any]:
        meet.wait(20)
        yield 60.0 if call.path == "/late" else 0.0
        yield http(b"answer")

    with Stub(reply) as server, ThreadPoolExecutor(2) as threads:
        late = threads.submit(failing, session, f"{server.origin}/late", total_s=1.0)
        patient = threads.submit(get, session, f"{server.origin}/soon", total_s=100.0)
        assert patient.result() == b"answer"
        assert late.result() == "TIMEOUT"


# Bodies


def chunk(body: bytes) -> bytes:
    return f"{len(body):x}\r\n".encode() + body + b"\r\n"


def chunked(raw: bytes) -> bytes:
    """A response whose chunks, as they are, are these."""
    return http(raw, framed=False, Transfer_Encoding="chunked")


WHOLE = {
    "with a length": http(b"answer"),
    "in chunks": http(
        chunk(b"ans") + chunk(b"wer") + b"0\r\n\r\n", framed=False, Transfer_Encoding="chunked"
    ),
    "packed with gzip": http(gzip.compress(b"answer"), Content_Encoding="gzip"),
    "packed with x-gzip": http(gzip.compress(b"answer"), Content_Encoding="X-GZIP"),
    "packed with deflate": http(zlib.compress(b"answer"), Content_Encoding="deflate"),
    "packed and in chunks": http(
        chunk(gzip.compress(b"answer")) + b"0\r\n\r\n",
        framed=False,
        Transfer_Encoding="chunked",
        Content_Encoding="gzip",
    ),
    "identity by name": http(b"answer", Content_Encoding="identity"),
}


@pytest.mark.parametrize("response", WHOLE.values(), ids=WHOLE)
def test_a_whole_body_is_read_and_its_connection_used_again(
    session: requests.Session, response: bytes
) -> None:
    with Stub(always(response)) as server:
        assert get(session, server.origin, max_bytes=64) == b"answer"
        assert get(session, server.origin, max_bytes=64) == b"answer"
        assert server.connections == 1


def test_a_body_that_ends_with_the_connection_is_read(session: requests.Session) -> None:
    with Stub(always(http(b"answer", framed=False), HANG_UP)) as server:
        assert get(session, server.origin, max_bytes=6) == b"answer"


TRUNCATED = {
    "shorter than its length": http(b"ans", Content_Length="6"),
    "nothing of its length": http(b"", Content_Length="6"),
    "within a chunk": http(b"6\r\nans", framed=False, Transfer_Encoding="chunked"),
    "between chunks": http(chunk(b"ans"), framed=False, Transfer_Encoding="chunked"),
    "before the last chunk": http(b"", framed=False, Transfer_Encoding="chunked"),
    "within the last chunk": chunked(chunk(b"ans") + b"0\r\n"),
    "within the headers": b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n",
    "behind an interim response": b"HTTP/1.1 100 Continue\r\n\r\n",
}


@pytest.mark.parametrize("response", TRUNCATED.values(), ids=TRUNCATED)
def test_a_truncated_body_is_never_returned_short(session: requests.Session, response: bytes) -> None:
    with Stub(always(response, HANG_UP)) as server:
        assert failing(session, server.origin) == "TRUNCATED"


BROKEN = {
    "a chunk without a size": http(b"zz\r\nans", framed=False, Transfer_Encoding="chunked"),
    "a chunk longer than its size": chunked(b"2\r\nans\r\n0\r\n\r\n"),
    "a line that is no header": http(b"odd").replace(b"\r\n", b"\r\nno header\r\n", 1),
    "within the status": b"HTTP/1.1 2",
}


@pytest.mark.parametrize("response", BROKEN.values(), ids=BROKEN)
def test_a_broken_answer_is_never_returned(session: requests.Session, response: bytes) -> None:
    with Stub(always(response, HANG_UP)) as server:
        assert failing(session, server.origin) in {"NOT_HTTP", "RESET"}


UNPACKABLE = {
    "cut off": http(gzip.compress(b"answer")[:-9], Content_Encoding="gzip"),
    "no gzip": http(b"answer", Content_Encoding="gzip"),
    "wrong checksum": http(gzip.compress(b"answer")[:-8] + bytes(8), Content_Encoding="gzip"),
    "brotli, unasked": http(b"answer", Content_Encoding="br"),
    "twice": http(gzip.compress(gzip.compress(b"answer")), Content_Encoding="gzip, gzip"),
}


@pytest.mark.parametrize("response", UNPACKABLE.values(), ids=UNPACKABLE)
def test_a_body_that_cannot_be_unpacked_is_never_returned(session: requests.Session, response: bytes) -> None:
    with Stub(always(response)) as server:
        assert failing(session, server.origin) == "BODY_UNPACKABLE"


def endless(first: bytes, part: bytes) -> Callable[[Call], Iterable[bytes]]:
    return lambda _: itertools.chain([first], itertools.repeat(part))


TOO_LARGE = {
    "by its length, which is not waited for": always(http(b"", Content_Length=str(MIB + 1)), 60.0),
    "without a length": endless(http(b"", framed=False), bytes(65536)),
    "in chunks": endless(http(b"", framed=False, Transfer_Encoding="chunked"), chunk(bytes(65536))),
    "unpacked": always(http(gzip.compress(bytes(64 * MIB)), Content_Encoding="gzip")),
    "unpacked by one byte": always(http(gzip.compress(bytes(MIB + 1)), Content_Encoding="gzip")),
    "packed, and nothing in it": endless(
        http(b"", framed=False, Content_Encoding="gzip"), gzip.compress(b"")
    ),
}


@pytest.mark.parametrize("reply", TOO_LARGE.values(), ids=TOO_LARGE)
def test_a_body_that_is_too_large_is_refused(
    session: requests.Session, reply: Callable[[Call], Iterable[Any]]
) -> None:
    with Stub(reply) as server:
        assert failing(session, server.origin, max_bytes=MIB) == "BODY_TOO_LARGE"


def test_a_bomb_is_not_unpacked_beyond_what_is_allowed(session: requests.Session) -> None:
    bomb = http(gzip.compress(bytes(128 * MIB)), Content_Encoding="gzip")
    with Stub(always(bomb)) as server:
        tracemalloc.start()
        try:
            assert failing(session, server.origin, max_bytes=MIB) == "BODY_TOO_LARGE"
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak_bytes < 16 * MIB


def test_a_body_of_just_the_size_allowed_is_read(session: requests.Session) -> None:
    with Stub(always(http(bytes(1000)))) as server:
        assert get(session, server.origin, max_bytes=1000) == bytes(1000)
        with pytest.raises(BodyTooLarge):
            get(session, server.origin, max_bytes=999)


def test_a_connection_whose_answer_was_not_read_to_its_end_is_not_used_again(
    session: requests.Session,
) -> None:
    """Or the rest of one answer would be read as the start of the next, which is another person's."""

    def reply(call: Call) -> Iterator[Any]:
        yield http(bytes(MIB)) if call.path == "/large" else http(b"answer")

    with Stub(reply) as server:
        assert failing(session, f"{server.origin}/large", max_bytes=1000) == "BODY_TOO_LARGE"
        assert get(session, server.origin) == b"answer"
        assert server.connections == 2


# Connections


def test_calls_one_after_another_share_one_connection(session: requests.Session) -> None:
    with Stub(always(http(b"answer"))) as server:
        for _ in range(20):
            get(session, server.origin)
        assert server.connections == 1


def test_a_request_is_sent_as_it_was_prepared(session: requests.Session) -> None:
    with Stub(always(http(b"answer"))) as server, deadline(20.0):
        url = f"{server.origin}/a path?b=c"
        session.post(url, params={"d": "é"}, json={"e": 1}, headers={"user-agent": "else"})
        (call,) = server.calls
    assert (call.method, call.path, call.json()) == ("POST", "/a%20path?b=c&d=%C3%A9", {"e": 1})
    assert call.headers == {
        "host": f"127.0.0.1:{server.port}",
        "user-agent": "else",
        "accept-encoding": "identity",
        "content-length": str(len(call.body)),
        "content-type": "application/json",
    }


def answering(odd: bytes) -> Callable[[Call], Iterable[Any]]:
    """Answer `/odd` with these bytes, and all else as one does."""
    return lambda call: [odd if call.path == "/odd" else http(b"answer")]


LAST_CHUNK = b"0\r\n\r\n"

KEPT = {
    "interim responses before it": b"HTTP/1.1 100 Continue\r\n\r\n"
    b"HTTP/1.1 103 X\r\nA: b\r\n\r\n" + http(b"odd"),
    "chunks with extensions": chunked(b"3;a=b\r\nodd\r\n" + LAST_CHUNK),
    "chunks with trailers": chunked(chunk(b"odd") + b"0\r\nA: b\r\nC: d\r\n\r\n"),
    "chunks of a byte": chunked(b"".join(chunk(bytes([byte])) for byte in b"odd") + LAST_CHUNK),
    "lines without carriage returns": b"HTTP/1.1 200 OK\nContent-Length: 3\n\nodd",
    "no reason in its status": b"HTTP/1.1 200\r\nContent-Length: 3\r\n\r\nodd",
    "the same length twice": http(b"odd", Content_length="3"),
    "an older version that keeps it": http(b"odd", Connection="keep-alive").replace(b"1.1", b"1.0", 1),
}

#: libcurl drops what came behind the last chunk together with it, and keeps the connection.
DROPPED = {
    "bytes behind its chunks": chunked(chunk(b"odd") + LAST_CHUNK + b"HTTP/1.1 "),
    "another answer behind its chunks": chunked(chunk(b"odd") + LAST_CHUNK) + http(b"another person's"),
}

NOT_KEPT = {
    "the word that it is the last": http(b"odd", Connection="close"),
    "an older version": http(b"odd").replace(b"1.1", b"1.0", 1),
    "a line behind it": http(b"odd") + b"\r\n",
    "another answer behind it": http(b"odd") + http(b"another person's"),
    "a length beside chunks": http(
        chunk(b"odd") + LAST_CHUNK, Transfer_Encoding="chunked", Content_Length="3"
    ),
    "a header that looks like a status line": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nHTTP/1.1 x: 304\r\n\r\nodd"
    ),
}


@pytest.mark.parametrize("odd", KEPT.values(), ids=KEPT)
def test_a_connection_is_used_again_after_an_odd_answer_with_a_clear_end(
    session: requests.Session, odd: bytes
) -> None:
    with Stub(answering(odd)) as server:
        assert get(session, f"{server.origin}/odd") == b"odd"
        assert get(session, server.origin) == b"answer"
        assert server.connections == 1


@pytest.mark.parametrize("odd", DROPPED.values(), ids=DROPPED)
def test_what_comes_behind_chunks_is_dropped(session: requests.Session, odd: bytes) -> None:
    with Stub(answering(odd)) as server:
        assert get(session, f"{server.origin}/odd") == b"odd"
        assert get(session, server.origin) == b"answer"


@pytest.mark.parametrize("odd", NOT_KEPT.values(), ids=NOT_KEPT)
def test_a_connection_is_not_used_again_where_more_may_come(session: requests.Session, odd: bytes) -> None:
    with Stub(answering(odd)) as server:
        assert get(session, f"{server.origin}/odd") == b"odd"
        assert get(session, server.origin) == b"answer"
        assert server.connections == 2


def test_a_connection_on_which_something_came_unasked_is_not_used_again(session: requests.Session) -> None:
    """Be it another answer: who comes next would take it for theirs."""
    came = Event()

    def reply(call: Call) -> Iterator[Any]:
        yield http(b"answer")
        if call.path == "/odd":
            yield 0.05
            yield http(b"another person's")
            came.set()

    with Stub(reply) as server:
        assert get(session, f"{server.origin}/odd") == b"answer"
        assert came.wait(5)
        assert get(session, server.origin) == b"answer"
        assert server.connections == 2


def test_a_question_that_got_no_answer_on_a_used_connection_is_asked_once_more(
    session: requests.Session,
) -> None:
    """A server may have closed it just then; on a fresh connection that is no excuse."""
    with Stub(lambda call: [HANG_UP] if call.path == "/odd" else [http(b"answer")]) as server:
        assert get(session, server.origin) == b"answer"
        assert failing(session, f"{server.origin}/odd") == "RESET"
        assert failing(session, f"{server.origin}/odd") == "RESET"
        assert server.paths() == ["/", "/odd", "/odd", "/odd"]


def test_many_hosts_are_asked_in_turn(session: requests.Session) -> None:
    with ExitStack() as stack:
        servers = [stack.enter_context(Stub(always(http(b"answer")))) for _ in range(18)]
        for server in servers * 2:
            assert get(session, server.origin) == b"answer"


def test_a_header_with_a_line_break_is_not_sent(session: requests.Session) -> None:
    """It would be two headers, the second of somebody else's making."""
    with Stub(always(http(b"answer"))) as server, deadline(20.0):
        for value in ("a\r\nX-Evil: 1", "a\nX-Evil: 1", "a\rX-Evil: 1"):
            request = session.prepare_request(requests.Request("GET", server.origin))
            request.headers["X-ACCESS-TOKEN"] = value
            with pytest.raises(requests.exceptions.InvalidHeader):
                session.send(request)
        assert server.calls == []


def test_many_threads_use_one_session_at_once_and_keep_their_connections(session: requests.Session) -> None:
    threads_at_once = 64
    meet = Barrier(threads_at_once)

    def reply(call: Call) -> Iterator[Any]:
        meet.wait()
        yield http(call.path.encode())

    with Stub(reply) as server, ThreadPoolExecutor(threads_at_once) as threads:
        for round_ in range(3):
            paths = [f"/{round_}/{number}" for number in range(threads_at_once)]
            bodies = threads.map(lambda path: get(session, f"{server.origin}{path}"), paths)
            assert list(bodies) == [path.encode() for path in paths]
        assert server.connections == threads_at_once


def test_a_connection_that_the_server_closed_meanwhile_is_replaced(session: requests.Session) -> None:
    with Stub(always(http(b"answer"), HANG_UP)) as server:
        for _ in range(3):
            assert get(session, server.origin) == b"answer"
            Event().wait(0.05)
        assert server.connections == 3


def test_a_redirect_is_returned_and_not_followed(session: requests.Session) -> None:
    with Stub(always(http(b"", 302, Location="/elsewhere"))) as server, deadline(20.0):
        assert session.get(server.origin, allow_redirects=True).status_code == 302
        assert server.paths() == ["/"]


def test_no_cookie_is_kept(session: requests.Session) -> None:
    with Stub(always(http(b"", Set_Cookie="who=them; Path=/"))) as server:
        get(session, server.origin)
        get(session, server.origin)
        assert "cookie" not in server.calls[1].headers


def test_proxies_of_the_environment_are_ignored(
    session: requests.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Stub(always(http(b"proxy"))) as proxy, Stub(always(http(b"answer"))) as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.origin)
        assert get(session, server.origin) == b"answer"
        assert proxy.calls == []


def test_netrc_is_ignored(session: requests.Session, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login us password ours\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with Stub(always(http())) as server:
        get(session, server.origin)
        assert "authorization" not in server.calls[0].headers


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_a_refused_connection_is_called_so(session: requests.Session) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert failing(session, f"http://127.0.0.1:{port}") == "REFUSED"


def test_a_connection_that_is_closed_without_an_answer_is_called_reset(session: requests.Session) -> None:
    with Stub(always(HANG_UP)) as server:
        assert failing(session, server.origin) == "RESET"


def test_what_is_no_http_is_called_so(session: requests.Session) -> None:
    with Stub(always(b"220 mail.example ESMTP\r\n", HANG_UP)) as server:
        assert failing(session, server.origin) == "NOT_HTTP"
    with Stub(always(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200, HANG_UP)) as server:
        assert failing(session, server.origin) == "NOT_HTTP"


ENDLESS = {
    "a greeting that waits for ours": always(b"220 mail.example ESMTP\r\n", 60.0),
    "a header": endless(b"HTTP/1.1 200 OK\r\nA: ", bytes(65536)),
    "headers": endless(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n" * 1000),
    "the size of a chunk": endless(chunked(b""), b"0" * 65536),
    "trailers": endless(chunked(b"0\r\n"), b"A: b\r\n" * 1000),
    "two lengths": always(http(b"answer", Content_length="7"), 60.0),
}


@pytest.mark.parametrize("reply", ENDLESS.values(), ids=ENDLESS)
def test_what_comes_to_no_end_is_no_http(
    session: requests.Session, reply: Callable[[Call], Iterable[Any]]
) -> None:
    """And is given up long before the deadline."""
    with Stub(reply) as server:
        assert failing(session, server.origin, total_s=25.0) == "NOT_HTTP"


# TLS


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    return server_side(certificate)


@pytest.fixture
def loopback_is_public(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.http_client.adapter.is_public", lambda address: address == "127.0.0.1")


def test_a_certificate_that_nobody_vouches_for_is_refused(
    session: requests.Session, public: requests.Session, tls: ssl.SSLContext, loopback_is_public: None
) -> None:
    """Also where a caller asks not to look."""
    with Stub(always(http()), tls) as server, deadline(20.0):
        for client in (session, public):
            for verify in (True, False):
                with pytest.raises(requests.exceptions.SSLError) as caught:
                    client.get(server.origin, verify=verify)
                assert fault(caught.value) == "TLS"
        assert server.calls == []


def test_a_certificate_for_another_host_is_refused(tls: ssl.SSLContext, certificate: Path) -> None:
    with Stub(always(http()), tls) as server, http_client.session(ca_bundle=str(certificate)) as client:
        assert failing(client, f"https://localhost:{server.port}") == "TLS"
        assert server.calls == []


def test_tls_keeps_its_connection_and_its_deadline(tls: ssl.SSLContext, certificate: Path) -> None:

    def reply(call: Call) -> Iterator[Any]:
        yield from DRIPS["chunks"](call) if call.path == "/drip" else [http(b"answer")]

    with Stub(reply, tls) as server, http_client.session(ca_bundle=str(certificate)) as session:
        assert get(session, server.origin) == b"answer"
        assert get(session, server.origin) == b"answer"
        assert server.connections == 1
        assert failing(session, f"{server.origin}/drip", total_s=0.5) == "TIMEOUT"


# Public addresses alone


PRIVATE = [
    "127.0.0.1",
    "localhost",
    "2130706433",
    "0x7f.1",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "224.0.0.1",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:10.0.0.1]",
    "[fe80::1]",
    "[fd00::1]",
    "[64:ff9b::7f00:1]",
]


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", PRIVATE)
def test_a_public_session_connects_to_no_private_address(
    public: requests.Session, host: str, scheme: str
) -> None:
    with Stub(always(http())) as server:
        assert failing(public, f"{scheme}://{host}:{server.port}/") == "ADDRESS_NOT_PUBLIC"
        assert server.connections == 0


def test_a_public_session_keeps_the_same_promises(
    public: requests.Session, monkeypatch: pytest.MonkeyPatch, loopback_is_public: None
) -> None:
    with Stub(always(http(b"proxy"))) as proxy, Stub(always(http(b"answer"))) as server:
        monkeypatch.setenv("HTTP_PROXY", proxy.origin)
        assert get(public, server.origin) == b"answer"
        assert get(public, server.origin) == b"answer"
        assert server.connections == 1
        server.reply = DRIPS["chunks"]
        assert failing(public, server.origin, total_s=0.2) == "TIMEOUT"
        server.reply = always(http(b"", 302, Location="/elsewhere"))
        with deadline(20.0):
            assert public.get(server.origin).status_code == 302
