"""How requests leave: proxies, authorities, HTTP/2, and nothing that the environment asks for."""

from __future__ import annotations

import gzip
import os
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import gevent
import h2.config
import h2.connection
import h2.events
import pytest
import requests

from tests.support.certificates import server_side
from tests.support.tcp_thread import TcpServer
from tests.support.vendor_stub import Stub, http
from worker import http_client
from worker.http_client import MIB, deadline, fault, read_bounded

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator
    from pathlib import Path

    from worker.http_client.session import Session

pytestmark = pytest.mark.timeout(60)


def outcome(session: requests.Session, url: str, total_s: float = 5.0, max_bytes: int = MIB) -> bytes | str:
    try:
        with deadline(total_s), session.get(url, stream=True) as response:
            return read_bounded(response, max_bytes)
    except requests.RequestException as error:
        return fault(error)


# Bodies


TWO = gzip.compress(b"first,") + gzip.compress(b"second")

CODED: dict[str, tuple[bytes, str, bytes | str]] = {
    "two members": (TWO, "gzip", b"first,second"),
    "a member and an empty one": (gzip.compress(b"all") + gzip.compress(b""), "gzip", b"all"),
    "cut within the second": (TWO[:-5], "gzip", "BODY_UNPACKABLE"),
    "bytes behind": (gzip.compress(b"all") + b"more", "gzip", "BODY_UNPACKABLE"),
    "zeros behind": (gzip.compress(b"all") + bytes(8), "gzip", "BODY_UNPACKABLE"),
    "nothing at all": (b"", "gzip", "BODY_UNPACKABLE"),
    "UTF-8": (b"all", "UTF-8", b"all"),
    "base64": (b"YWxs", "base64", b"YWxs"),
    "aws-chunked": (b"all", "aws-chunked", b"all"),
    "none": (b"all", "none", b"all"),
    "empty": (b"all", "", b"all"),
    "a list of them": (b"all", "aws-chunked, UTF-8,", b"all"),
    "one that is one among them": (gzip.compress(b"all"), "aws-chunked,gzip", b"all"),
}


@pytest.mark.parametrize(("body", "coding", "expected"), CODED.values(), ids=CODED)
def test_every_byte_of_a_body_counts(body: bytes, coding: str, expected: bytes | str) -> None:
    reply = http(body, Content_Encoding=coding)
    with Stub(lambda _: [reply]) as server, http_client.session() as session:
        assert outcome(session, server.origin) == expected


def test_the_members_of_a_body_together_are_bounded() -> None:
    reply = http(gzip.compress(bytes(600)) * 2, Content_Encoding="gzip")
    with Stub(lambda _: [reply]) as server, http_client.session() as session:
        assert outcome(session, server.origin, max_bytes=1199) == "BODY_TOO_LARGE"
        assert outcome(session, server.origin, max_bytes=1200) == bytes(1200)


# HTTP/2


class H2(TcpServer):
    """A server of HTTP/2 over TLS that answers each stream with its path, the newest first."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        super().__init__()
        tls.set_alpn_protocols(["h2"])
        self._tls = tls
        self.origin = f"https://127.0.0.1:{self.port}"

    def _serve(self, plain: socket.socket) -> None:
        with suppress(OSError), self._tls.wrap_socket(plain, server_side=True) as sock:
            h2_side = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
            h2_side.initiate_connection()
            sock.sendall(h2_side.data_to_send())
            while data := sock.recv(65_536):
                asked: list[tuple[int, bytes]] = []
                for event in h2_side.receive_data(data):
                    if isinstance(event, h2.events.RequestReceived):
                        path: Any = dict(event.headers)[b":path"]
                        asked.append((event.stream_id, path))
                for stream, path in reversed(asked):
                    h2_side.send_headers(stream, [(":status", "200"), ("content-length", str(len(path)))])
                    h2_side.send_data(stream, path, end_stream=True)
                sock.sendall(h2_side.data_to_send())


def test_http_2_is_spoken_where_it_is_offered_and_a_stream_gets_its_own_answer(certificate: Path) -> None:
    with H2(server_side(certificate)) as server, http_client.session(ca_bundle=str(certificate)) as session:

        def ask(number: int) -> bytes | str:
            return outcome(session, f"{server.origin}/{number}")

        assert gevent.spawn(ask, 0).get() == b"/0"
        for _ in range(3):
            asked = [gevent.spawn(ask, number) for number in range(32)]
            gevent.joinall(asked)
            assert [each.get() for each in asked] == [f"/{number}".encode() for number in range(32)]
        assert server.connections == 1


# The environment


ASK = """
import sys
from worker.http_client import MIB, deadline, read_bounded, session
with deadline(20.0), session(ca_bundle=sys.argv[2]).get(sys.argv[1], stream=True) as response:
    print(read_bounded(response, MIB).decode())
"""


def test_nothing_is_taken_from_the_environment(certificate: Path, tmp_path: Path) -> None:
    keys, netrc = tmp_path / "keys", tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login us password ours\n")
    with (
        Stub(lambda _: [http(b"answer")], server_side(certificate)) as server,
        Stub(lambda _: [http(b"proxy")]) as proxy,
    ):
        proxies = dict.fromkeys(
            ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy"), proxy.origin
        )
        theirs = {
            "SSLKEYLOGFILE": str(keys),
            "HOME": str(tmp_path),
            "NETRC": str(netrc),
            "CURL_HOME": str(tmp_path),
        }
        bundles = dict.fromkeys(("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"), str(netrc))
        ended = subprocess.run(
            [sys.executable, "-c", ASK, server.origin, str(certificate)],
            env={**os.environ, **proxies, **theirs, **bundles},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert ended.stdout == "answer\n", ended.stderr
        assert proxy.calls == []
        assert "authorization" not in server.calls[0].headers
    assert not keys.exists()


@pytest.mark.parametrize(
    "url", ["file:///etc/hostname", "ftp://127.0.0.1/", "gopher://127.0.0.1/", "dict://127.0.0.1/"]
)
def test_nothing_but_http_is_spoken(url: str) -> None:
    with http_client.session() as session, deadline(20.0), pytest.raises(requests.RequestException):
        session.get(url)


# Proxies


class Proxy(TcpServer):
    """An HTTP proxy: passes requests on as its one target answers, and tunnels where it is asked to."""

    def __init__(self, target: int) -> None:
        super().__init__()
        self.heads: list[str] = []
        self._target = target
        self.url = f"http://us:secret@127.0.0.1:{self.port}"
        self.refuses = False

    def _serve(self, here: socket.socket) -> None:
        with suppress(OSError), here, socket.create_connection(("127.0.0.1", self._target)) as there:
            head = here.recv(65_536)
            self.heads.append(head.decode())
            if self.refuses:
                here.sendall(http(b"no", 403))
                return
            if head.startswith(b"CONNECT"):
                here.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            else:
                there.sendall(head)
            threading.Thread(target=_carry, args=(there, here), daemon=True).start()
            _carry(here, there)


def _carry(here: socket.socket, there: socket.socket) -> None:
    with suppress(OSError):
        while data := here.recv(65_536):
            there.sendall(data)


@pytest.fixture(params=["plain", "TLS"])
def server(request: pytest.FixtureRequest, certificate: Path) -> Iterator[Stub]:
    tls = server_side(certificate) if request.param == "TLS" else None
    with Stub(lambda _: [http(b"answer")], tls) as server:
        yield server


def test_a_proxy_is_used_for_both_sessions(server: Stub, certificate: Path) -> None:
    with Proxy(server.port) as proxy:
        for make in (http_client.session, http_client.public_session):
            with make(proxy=proxy.url, ca_bundle=str(certificate)) as session:
                if server.origin.startswith("https"):
                    assert (
                        outcome(session, f"https://images.example.com:{server.port}/") == "TLS"
                    )  # another host's
                else:
                    assert outcome(session, f"http://images.example.com:{server.port}/") == b"answer"
    first = (
        "CONNECT images.example.com:"
        if server.origin.startswith("https")
        else "GET http://images.example.com:"
    )
    assert [head.startswith(first) for head in proxy.heads] == [True, True]
    assert all("Proxy-Authorization: Basic" in head for head in proxy.heads)


def test_connections_of_ones_own_are_that_behind_a_proxy_too(server: Stub, certificate: Path) -> None:
    def ask(session: Session) -> list[bytes]:
        request, found = session.prepare_request(requests.Request("GET", server.origin)), []
        with session.own_connections() as connections:
            for _ in range(2):
                with deadline(10.0), connections.send(request) as response:
                    found.append(read_bounded(response, MIB))
        return found

    with (
        Proxy(server.port) as proxy,
        http_client.session(proxy=proxy.url, ca_bundle=str(certificate)) as session,
    ):
        many = [gevent.spawn(ask, session) for _ in range(16)]
        gevent.joinall(many, timeout=60)
        assert [each.value for each in many] == [[b"answer"] * 2] * 16


def test_a_proxy_that_refuses_is_called_so(certificate: Path) -> None:
    with (
        Stub(lambda _: [http(b"answer")], server_side(certificate)) as server,
        Proxy(server.port) as proxy,
        http_client.session(proxy=proxy.url, ca_bundle=str(certificate)) as session,
    ):
        assert outcome(session, server.origin) == b"answer"
        proxy.refuses = True
        session.drop_connections()
        assert outcome(session, server.origin) == "PROXY"


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "2130706433", "0x7f.1", "localhost", "[::1]", "169.254.169.254"]
)
def test_a_literal_private_address_goes_to_no_proxy(host: str) -> None:
    with (
        Stub(lambda _: [http(b"answer")]) as server,
        Proxy(server.port) as proxy,
        http_client.public_session(proxy=proxy.url) as session,
    ):
        assert outcome(session, f"http://{host}:{server.port}/") == "ADDRESS_NOT_PUBLIC"
        assert proxy.heads == []
