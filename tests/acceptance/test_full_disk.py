"""A Redis whose disk is full, as the promises have it set up: it ends, and comes back with all that it took."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from schemas.enqueue import EnqueueRequest
from tests.support.servers import running_server
from tests.support.waiting import until
from worker.cli.checks.ledger import check_ledger
from worker.errors import LedgerUnavailable
from worker.ledger import Ledger, Stats
from worker.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.every_server,
    pytest.mark.skipif(os.geteuid() != 0 or shutil.which("mount") is None, reason="only root may mount"),
]


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of a megabyte, with something on it that can be taken away."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("nothing may be mounted here")
    try:
        (folder / "others").write_bytes(b"x" * 700_000)
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(ledger: Ledger) -> int:
    """How many it took."""
    for number in count():
        try:
            ledger.enqueue([EnqueueRequest(f"id-{number}", "ph", "c" * 1000)])
        except LedgerUnavailable:
            return number
    raise AssertionError("unreachable")


def test_a_redis_whose_disk_fills_up_ends_and_comes_back_with_all_it_took(
    tmp_path: Path, server_kind: str
) -> None:
    with small_disk(tmp_path / "disk") as disk:
        always = {"appendonly": "yes", "appendfsync": "always"}
        with running_server(server_kind, disk, **always) as server:
            url = f"redis://127.0.0.1:{server.port}/0"
            taken = fill(Ledger(Redis.from_url(url)))
            until(lambda: not server.is_running(), "it has ended")
            found = next(check_ledger(Settings(redis_url=url, regions=("ph",))))
            assert "connection refused" in found.said
            assert "with `appendfsync always` a full disk ends it" in found.todo
        (disk / "others").unlink()
        try:
            with running_server(server_kind, disk, **always) as again, Redis(port=again.port) as client:
                assert Stats(client).counts("ph").enqueued >= taken > 0
                assert Ledger(client).status("ph", f"id-{taken - 1}") is not None
        except RedisConnectionError:
            pytest.fail("it does not start on the same data")
