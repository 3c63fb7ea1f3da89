"""Clients that send slowly keep `web` from answering nobody."""

from __future__ import annotations

import http.client
import resource
import socket
import time
from contextlib import ExitStack, contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING

import pytest

from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.acceptance.fleet import Fleet

pytestmark = pytest.mark.timeout(120)

CLIENTS = 100
HEAD = b"GET /healthz HTTP/1.1\r\nHost: ekyc\r\nX-Slow: "

#: For how long each answer may take beside them: far longer than it takes on a busy machine. If each client kept one of
#: eight threads for two seconds, it would take 25 s.
BOUND_S = 15.0


@pytest.fixture
def port(fleet: Fleet, unused_port: int) -> int:
    web = fleet.start(
        *("gunicorn", "-c", "python:worker.web.gunicorn_conf"),
        name="web",
        EKYC_WEB_BIND=f"127.0.0.1:{unused_port}",
    )
    until(lambda: "Booting worker" in fleet.log("web") and answered(unused_port), "web answers")
    assert web.poll() is None
    return unused_port


def answered(port: int, within_s: float = BOUND_S) -> bool:
    """Whether `/healthz` says ok in time."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=within_s)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().read() == b"ok\n"
    except OSError:
        return False
    finally:
        connection.close()


@contextmanager
def dribbling(port: int, head: bytes) -> Iterator[list[socket.socket]]:
    """A hundred clients, each of which sends a byte of its head every 100 ms, without an end."""
    done = Event()
    with ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            for _ in range(CLIENTS)
        ]

        def dribble() -> None:
            for number in range(10_000):
                for client in clients:
                    try:
                        client.sendall(head[number : number + 1] or b"a")
                    except OSError:
                        continue
                if done.wait(0.1):
                    return

        thread = Thread(target=dribble)
        thread.start()
        try:
            yield clients
        finally:
            done.set()
            thread.join()


@pytest.mark.parametrize("head", [HEAD, b"\r\n\r\n" * 4 + HEAD], ids=["a head", "empty lines first"])
def test_a_hundred_clients_that_send_their_heads_slowly_delay_nobody(port: int, head: bytes) -> None:
    with dribbling(port, head) as clients:
        time.sleep(1)  # what they have sent by then is a part of a head
        beside = 0
        while not any(map(ended, clients)):
            assert answered(port)
            beside += not any(map(ended, clients))
        assert beside, "nothing is answered until the slow clients are closed"
        # And they are not kept for ever.
        until(lambda: all(ended(client) for client in clients), "each of them is closed")
    assert answered(port)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /healthz HTTP/1.1\r\nHost: ekyc\r\nConnection: close\r\n\r\n",
        b"POST /healthz HTTP/1.1\r\nHost: ekyc\r\nContent-Length: 1000\r\n\r\n",
        b"POST /healthz HTTP/1.1\r\nHost: ekyc\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
    ids=["nothing", "a request and no end", "no body", "no chunk"],
)
def test_clients_that_send_a_part_and_never_close_delay_nobody(port: int, sent: bytes) -> None:
    with ExitStack() as stack:
        for _ in range(CLIENTS):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            client.sendall(sent)
        for _ in range(10):
            assert answered(port)


def test_more_clients_than_web_takes_that_do_not_close_delay_nobody(port: int) -> None:
    with more_open_files(4096), ExitStack() as stack:
        for _ in range(1_300):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
            client.sendall(b"GET /v1/nothing HTTP/1.0\r\n\r\n")
        # The time of so many requests, not of waiting for their clients: two seconds for each eight of them.
        assert answered(port, within_s=20)


def test_a_response_reaches_a_client_that_sends_more_than_is_read(port: int) -> None:
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            client.sendall(b"GET /healthz HTTP/1.0\r\n\r\n" + b"a" * 10_000)
            client.sendall(b"a" * 10_000)
            assert answer(client).startswith(b"HTTP/1.0 200")


@contextmanager
def more_open_files(number: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(number, before[1]), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def ended(client: socket.socket) -> bool:
    client.setblocking(False)
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def test_a_head_in_pieces_and_several_requests_on_one_connection_are_answered(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        for piece in (b"GET /heal", b"thz HTTP/1.1\r\nHost: e", b"kyc\r\n", b"\r", b"\n"):
            client.sendall(piece)
            time.sleep(0.05)
        assert answer(client).startswith(b"HTTP/1.1 200")
        request = b"GET /healthz HTTP/1.1\r\nHost: ekyc\r\n\r\n"
        client.sendall(request)
        assert answer(client).startswith(b"HTTP/1.1 200")
        client.sendall(request * 2)
        both = answer(client)
        while both.count(b"ok\n") < 2:
            both += received(client)


def test_a_head_without_end_and_one_that_is_cut_short_are_refused(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(b"GET /" + b"a" * 70_000)
        assert client.recv(4096).startswith(b"HTTP/1.1 4")
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(b"GET /healthz HTT")
        client.shutdown(socket.SHUT_WR)
        assert b"200" not in client.recv(4096)
    assert answered(port)


def answer(client: socket.socket) -> bytes:
    """The head and the body of one answer."""
    read = b""
    while not read.endswith(b"ok\n"):
        read += received(client)
    return read


def received(client: socket.socket) -> bytes:
    piece = client.recv(4096)
    assert piece, "the connection was closed"
    return piece
