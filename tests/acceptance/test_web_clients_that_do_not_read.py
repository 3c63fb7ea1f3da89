"""Clients that do not read their responses keep `web` from answering nobody."""

from __future__ import annotations

import http.client
import socket
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.support.waiting import until
from tests.support.web_process import Web, web_process
from worker.web.slow_heads import SEND_S

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(120)

#: More than `web` has threads.
CLIENTS = 12

#: How long each answer may take beside them: far longer than on a busy machine.
BOUND_S = 15.0

REQUEST = b"GET /openapi.json HTTP/1.1\r\nHost: ekyc\r\n\r\n"


@pytest.fixture
def web(redis_url: str, tmp_path: Path) -> Iterator[Web]:
    with web_process(tmp_path, redis_url) as web:
        yield web


def client(web: Web) -> socket.socket:
    """A client whose kernel holds little of what it does not read."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    sock.connect(("127.0.0.1", web.port))
    sock.settimeout(0.5)
    return sock


def answered(web: Web, path: str) -> bool:
    began = time.monotonic()
    return web.get(path).status == 200 and time.monotonic() - began < BOUND_S


def closed(sock: socket.socket) -> bool:
    """Whether `web` has closed a connection of which nothing was read."""
    try:
        sock.sendall(b"GET")
    except TimeoutError:
        return False
    except OSError:
        return True
    return False


def test_clients_that_pipeline_and_read_nothing_delay_nobody_and_do_not_stay(web: Web) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(client(web)) for _ in range(CLIENTS)]
        for each in clients:
            try:
                each.sendall(REQUEST * 400)
            except TimeoutError:
                continue
        beside, began = 0, time.monotonic()
        while time.monotonic() - began < SEND_S / 2:
            assert answered(web, "/healthz")
            assert answered(web, "/v1/decisions")
            beside += time.monotonic() - began < SEND_S / 2
            time.sleep(0.1)
        assert beside, "nothing is answered until the clients are closed"
        until(lambda: all(closed(each) for each in clients), "each of them is closed")


def test_a_response_that_is_read_slowly_is_whole_and_its_connection_is_kept(web: Web) -> None:
    whole = web.get("/openapi.json").raw
    with client(web) as slow:
        slow.settimeout(30)
        # Many at once, so that no buffer of the kernel holds them all.
        slow.sendall(REQUEST * 80)
        time.sleep(1)
        reader = slow.makefile("rb")
        for _ in range(80):
            assert reader.readline().startswith(b"HTTP/1.1 200 ")
            headers = http.client.parse_headers(reader)
            assert reader.read(int(headers["Content-Length"])) == whole
        reader.close()
