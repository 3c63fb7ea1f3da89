"""A server that sends in an unkind way costs its own call, and delays no other one."""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gevent
import pytest
import requests

from tests.support.ports import free_port
from tests.support.vendor_stub import Call, Stub, http
from worker import http_client
from worker.http_client import MIB, deadline, fault, read_bounded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from multiprocessing.connection import Connection

pytestmark = pytest.mark.timeout(90)

#: The promise is 50 ms. A busy machine alone delays a greenlet by hundreds; a blocked loop, by seconds.
DELAYED_S = 1.0

#: How much a body may be, and the memory beyond it.
LIMIT, BESIDE = 8 * MIB, 2 * MIB

CHUNKED = http(b"", framed=False, Transfer_Encoding="chunked")


def endless(first: bytes, part: bytes) -> Callable[[Call], Iterable[bytes]]:
    return lambda _: itertools.chain([first], itertools.repeat(part))


def slowly(first: bytes, part: bytes) -> Callable[[Call], Iterable[Any]]:
    return lambda _: itertools.chain([first], itertools.cycle([0.1, part]))


UNKIND = {
    "a byte every 100 ms": slowly(http(b"", Content_Length="100000"), b"x"),
    "a head without end, slowly": slowly(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"),
    "a head without end": endless(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n" * 1000),
    "a header without end": endless(b"HTTP/1.1 200 OK\r\nA: ", b" " * 65_536),
    "a header of blanks": lambda _: [b"HTTP/1.1 200 OK\r\nA:" + b" " * 128_000 + b"\rX\r\n\r\n", 60.0],
    "informational answers without end": endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 2000),
    "chunks of a byte": endless(CHUNKED, b"1\r\nx\r\n" * 10_000),
    "chunks of a byte with extensions": endless(CHUNKED, b"1;a=b\r\nx\r\n" * 7000),
    "trailers without end": endless(CHUNKED + b"0\r\n", b"A: b\r\n" * 10_000),
    "more than is allowed": endless(CHUNKED, b"10000\r\n" + bytes(65_536) + b"\r\n"),
}


def serve(name: str, port: Connection) -> None:
    """In a process of its own: its threads would else delay what is measured."""
    with Stub(UNKIND[name]) as server:
        port.send(server.origin)
        port.recv()


@contextmanager
def serving(name: str) -> Iterator[str]:
    # Forked from a process that has imported this file: `spawn` imports it for each.
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(name, there), daemon=True)
    process.start()
    try:
        yield here.recv()
    finally:
        process.kill()
        process.join()


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Beside:
    """A greenlet beside the others: by how much it came too late at the worst, and the memory it saw."""

    def __init__(self) -> None:
        self.delayed_s = 0.0
        self.begun_with = self.most = resident_bytes()
        self._over = False
        self._greenlet = gevent.spawn(self._look)

    def _look(self) -> None:
        while not self._over:
            due = time.monotonic() + 0.01
            gevent.sleep(0.01)
            self.delayed_s = max(self.delayed_s, time.monotonic() - due)
            self.most = max(self.most, resident_bytes())

    def end(self) -> None:
        self._over = True
        self._greenlet.join()


def outcome(session: requests.Session, url: str, total_s: float) -> str:
    try:
        with deadline(total_s), session.get(url, stream=True) as response:
            return str(len(read_bounded(response, LIMIT)))
    except requests.RequestException as error:
        return fault(error)


@pytest.mark.parametrize("name", UNKIND)
def test_others_go_on_beside_an_unkind_server(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with (
        serving(name) as unkind_origin,
        Stub(lambda _: [http(b"answer")]) as kind,
        http_client.session() as session,
    ):
        assert gevent.spawn(outcome, session, kind.origin, 5.0).get() == "6"
        beside = Beside()
        begun = time.monotonic()
        unkind = [gevent.spawn(outcome, session, unkind_origin, 2.0) for _ in range(2)]
        while not all(each.ready() for each in unkind):
            assert gevent.spawn(outcome, session, kind.origin, 5.0).get() == "6"
            gevent.sleep(0.01)
        took_s = time.monotonic() - begun
        beside.end()
    with capsys.disabled():
        grown = (beside.most - beside.begun_with) / MIB
        sys.stdout.write(f" {beside.delayed_s * 1000:.0f} ms late, {grown:.1f} MiB more ")
    assert {each.get() for each in unkind} <= {"TIMEOUT", "NOT_HTTP", "BODY_TOO_LARGE"}
    assert took_s < 2.0 + 4.0
    assert beside.delayed_s < DELAYED_S
    assert beside.most - beside.begun_with < 2 * (LIMIT + BESIDE)


def test_others_go_on_while_a_tls_handshake_hangs() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, http_client.session() as session:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        beside = Beside()
        hanging = [gevent.spawn(outcome, session, url, 1.5) for _ in range(16)]
        gevent.joinall(hanging)
        beside.end()
    assert {each.get() for each in hanging} == {"TIMEOUT"}
    assert beside.delayed_s < DELAYED_S


@pytest.mark.parametrize("times", [1, 2, 4, 8])
def test_a_head_of_blanks_is_refused_quickly(times: int) -> None:
    """Not in a time that grows with the square of it, which was minutes."""
    raw = b"HTTP/1.1 200 OK\r\nA:" + b" " * (16_000 * times) + b"\rX\r\nContent-Length: 6\r\n\r\nanswer"
    with Stub(lambda _: [raw]) as server, http_client.session() as session:
        begun = time.monotonic()
        assert outcome(session, server.origin, 20.0) in {"6", "NOT_HTTP"}
        assert time.monotonic() - begun < 10.0


# A NAT that forgets


NAT = """
import socket, sys, threading, time
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
target, idle_s = int(sys.argv[2]), float(sys.argv[3])
def carry(here, there, last, forgets):
    while data := here.recv(65536):
        if last[0] is None or (forgets and time.monotonic() - last[0] > idle_s):
            last[0] = None
            continue
        last[0] = time.monotonic()
        there.sendall(data)
print("ready", flush=True)
while True:
    here, _ = listener.accept()
    there, last = socket.create_connection(("127.0.0.1", target)), [time.monotonic()]
    for pair in ((here, there, last, True), (there, here, last, False)):
        threading.Thread(target=carry, args=pair, daemon=True).start()
"""


@pytest.fixture
def forgetful(vendor: Stub) -> Iterator[str]:
    """The origin of `vendor` behind a NAT that forgets what was idle for a second and a half, without a word."""
    port = free_port()
    nat = subprocess.Popen(
        [sys.executable, "-c", NAT, str(port), str(vendor.port), "1.5"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert nat.stdout
        assert nat.stdout.readline() == "ready\n"
        yield f"http://127.0.0.1:{port}"
    finally:
        nat.kill()
        nat.communicate()


@pytest.fixture
def vendor() -> Iterator[Stub]:
    with Stub(lambda _: [http(b"answer")]) as server:
        yield server


def as_greenlets(count: int, function: Callable[[], str]) -> set[str]:
    asked = [gevent.spawn(function) for _ in range(count)]
    gevent.joinall(asked)
    return {each.get() for each in asked}


def as_threads(count: int, function: Callable[[], str]) -> set[str]:
    found: set[str] = set()
    threads = [threading.Thread(target=lambda: found.add(function())) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.mark.parametrize("run", [as_greenlets, as_threads])
def test_a_connection_that_a_nat_forgot_costs_a_moment_and_no_call(
    forgetful: str, vendor: Stub, run: Callable[[int, Callable[[], str]], set[str]]
) -> None:
    with http_client.session() as session:
        assert run(8, lambda: outcome(session, forgetful, 10.0)) == {"6"}
        threading.Event().wait(2.0)
        begun = time.monotonic()
        assert run(8, lambda: outcome(session, forgetful, 10.0)) == {"6"}
        assert 1.0 < time.monotonic() - begun < 8.0
        assert len(vendor.calls) == 16


def test_a_vendor_that_is_slow_is_not_asked_twice() -> None:
    """On a connection that was just used, silence is the vendor's."""

    def reply(call: Call) -> Iterator[Any]:
        yield 4.0 if call.path == "/slow" else 0.0
        yield http(b"answer")

    with Stub(reply) as server, http_client.session() as session:
        assert outcome(session, server.origin, 10.0) == "6"
        assert outcome(session, f"{server.origin}/slow", 10.0) == "6"
        assert server.paths() == ["/", "/slow"]
