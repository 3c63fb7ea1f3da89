"""Clients that send bodies slowly, partly or in great numbers keep `web` from answering nobody."""

from __future__ import annotations

import http.client
import json
import select
import socket
import time
from contextlib import ExitStack
from threading import Event, Thread
from typing import TYPE_CHECKING

import pytest

from tests.support.waiting import until
from tests.support.web_process import ALL, Web, secret, web_process
from worker.web.slow_heads import BODY_S, LONGEST_BODY, MOST_BUFFERED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(120)

CLIENTS = 100
BODY = b'{"signature_id": "a", "region": "ph"}'

#: Bodies that find no room if what was closed still has its own.
AGAIN = 4

#: How long each answer may take beside them: far longer than on a busy machine.
BOUND_S = 15.0


@pytest.fixture
def web(redis_url: str, tmp_path: Path) -> Iterator[Web]:
    with web_process(tmp_path, redis_url) as web:
        yield web


def head(length: int, *more: str) -> bytes:
    lines = (
        "POST /v1/verifications HTTP/1.1",
        "Host: ekyc",
        f"Authorization: Bearer {secret(ALL)}",
        "Content-Type: application/json",
        f"Content-Length: {length}",
        *more,
    )
    return "\r\n".join((*lines, "", "")).encode()


def connected(web: Web) -> socket.socket:
    return socket.create_connection(("127.0.0.1", web.port), timeout=30)


def answered(web: Web) -> bool:
    """Whether others are served within `BOUND_S`."""
    began = time.monotonic()
    return web.get("/v1/decisions").status == 200 and time.monotonic() - began < BOUND_S


def response(client: socket.socket) -> http.client.HTTPResponse:
    found = http.client.HTTPResponse(client)
    found.begin()
    return found


def ended(client: socket.socket) -> bool:
    client.setblocking(False)
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def test_a_hundred_bodies_that_come_slowly_delay_nobody_and_do_not_stay(web: Web) -> None:
    done = Event()
    with ExitStack() as stack:
        clients = [stack.enter_context(connected(web)) for _ in range(CLIENTS)]
        for client in clients:
            client.sendall(head(500_000))

        def dribble() -> None:
            while not done.wait(0.1):
                for client in clients:
                    try:
                        client.sendall(b" ")
                    except OSError:
                        continue

        thread = Thread(target=dribble)
        thread.start()
        try:
            beside, began = 0, time.monotonic()
            while time.monotonic() - began < BODY_S:
                assert answered(web)
                beside += time.monotonic() - began < BODY_S / 2
                time.sleep(0.2)
            assert beside, "nothing is answered until the slow clients are closed"
        finally:
            done.set()
            thread.join()
        until(lambda: all(ended(client) for client in clients), "each of them is closed")
    assert answered(web)


def test_a_body_in_pieces_is_read_and_its_connection_is_kept(web: Web) -> None:
    with connected(web) as client:
        for expected in (202, 200):
            client.sendall(head(len(BODY)))
            for byte in BODY:
                client.sendall(bytes([byte]))
                time.sleep(0.002)
            answer = response(client)
            assert answer.status == expected
            answer.read()


def test_several_requests_with_bodies_may_be_sent_at_once(web: Web) -> None:
    with connected(web) as client:
        client.sendall((head(len(BODY)) + BODY) * 3)
        reader = client.makefile("rb")
        statuses = []
        for _ in range(3):
            statuses.append(int(reader.readline().split()[1]))
            length = 0
            while (line := reader.readline()) != b"\r\n":
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            reader.read(length)
        assert statuses == [202, 200, 200]
        reader.close()


def test_a_client_that_waits_for_permission_to_send_gets_it(web: Web) -> None:
    with connected(web) as client:
        client.sendall(head(len(BODY), "Expect: 100-continue"))
        assert client.recv(100).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
        client.sendall(BODY)
        received = b""
        while b"signature_id" not in received:
            part = client.recv(4096)
            assert part
            received += part
        assert b"HTTP/1.1 202" in received


def test_a_body_that_is_cut_short_is_not_taken(web: Web) -> None:
    with connected(web) as client:
        client.sendall(head(len(BODY) + 1) + BODY)
        client.shutdown(socket.SHUT_WR)
        answer = response(client)
        assert answer.status == 400
        assert json.loads(answer.read())["detail"] == "the body is shorter than its Content-Length"
    assert web.get("/v1/verifications/ph/a").status == 404


def test_a_body_that_is_cut_short_takes_no_thread(web: Web) -> None:
    """A thread would refuse the client, which has no token, before it looks at the body."""
    with connected(web) as client:
        client.sendall(b"POST /v1/verifications HTTP/1.1\r\nHost: ekyc\r\nContent-Length: 9\r\n\r\n{}")
        client.shutdown(socket.SHUT_WR)
        assert response(client).status == 400
        assert client.recv(1) == b""


def test_clients_without_a_token_that_only_promise_bodies_delay_nobody(web: Web) -> None:
    promise = b"POST /v1/x HTTP/1.1\r\nHost: ekyc\r\nContent-Length: %d\r\n\r\n" % LONGEST_BODY
    with ExitStack() as stack:
        for _ in range(CLIENTS):
            stack.enter_context(connected(web)).sendall(promise)
        assert large_batch(web) == 202


def test_bodies_together_have_a_limit_above_which_the_largest_is_refused(web: Web) -> None:
    most = MOST_BUFFERED // LONGEST_BODY
    with ExitStack() as stack:
        clients = [stack.enter_context(connected(web)) for _ in range(most + 2)]
        for client in clients:
            client.sendall(head(LONGEST_BODY) + b" " * (LONGEST_BODY - 1))
        refused = until(lambda: [client for client in clients if readable(client)], "some are refused")
        answer = response(refused[0])
        assert answer.status == 503
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.headers["Retry-After"] == "1"
        assert json.loads(answer.read())["type"] == "urn:ekyc:problem:busy"
        # A smaller one finds room beside them.
        assert large_batch(web) == 202
        # What is complete is answered.
        kept = next(client for client in reversed(clients) if not readable(client))
        kept.sendall(b" ")
        assert response(kept).status == 400

    def all_find_room() -> bool:
        with ExitStack() as stack:
            clients = [stack.enter_context(connected(web)) for _ in range(AGAIN)]
            try:
                for client in clients:
                    client.sendall(head(LONGEST_BODY) + b" " * (LONGEST_BODY - 1))
                for client in clients:
                    client.sendall(b" ")
                return all(response(client).status == 400 for client in clients)
            except OSError:
                return False  # one that is refused while it sends may lose its answer

    # What is closed gives its room back, once `web` has read that it is closed.
    until(all_find_room, "all find room")


def large_batch(web: Web) -> int:
    """The status of a batch whose body takes several reads."""
    batch = [{"signature_id": f"a-{number}", "region": "ph", "context": "c" * 200} for number in range(1_000)]
    return web.post("/v1/verifications", {"verifications": batch}).status


def readable(client: socket.socket) -> bool:
    return bool(select.select([client], [], [], 0)[0])
