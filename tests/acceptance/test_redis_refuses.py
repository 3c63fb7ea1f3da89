"""A Redis that answers and refuses, after a failover or with a full disk: workers live, and go on afterwards."""

from __future__ import annotations

import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from redis.exceptions import ResponseError

from schemas.enqueue import EnqueueRequest
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tests.acceptance.fleet import Fleet

pytestmark = [pytest.mark.timeout(120), pytest.mark.every_server]


@contextmanager
def replica(fleet: Fleet, nowhere: int) -> Iterator[None]:
    """It follows a primary that is not there, as one does that was the primary until a failover."""
    with fleet.redis() as redis:
        redis.replicaof("127.0.0.1", nowhere)
        try:
            yield
        finally:
            redis.replicaof("NO", "ONE")


@contextmanager
def unsaved(fleet: Fleet, _: int) -> Iterator[None]:
    """It cannot write its snapshot, as with a full disk, and takes no writes for that: MISCONF."""
    with fleet.redis() as redis:
        in_the_way = Path(
            str(redis.config_get("dir")["dir"]), str(redis.config_get("dbfilename")["dbfilename"])
        )
        in_the_way.unlink(missing_ok=True)
        (in_the_way / "something").mkdir(parents=True)
        redis.config_set("save", "3600 1")
        redis.config_set("stop-writes-on-bgsave-error", "yes")
        redis.bgsave()
        until(lambda: redis.info("persistence")["rdb_last_bgsave_status"] == "err", "the snapshot has failed")
        try:
            yield
        finally:
            (in_the_way / "something").rmdir()
            in_the_way.rmdir()
            redis.bgsave()
            until(
                lambda: redis.info("persistence")["rdb_last_bgsave_status"] == "ok", "a snapshot is written"
            )


@pytest.mark.parametrize("refusing", [replica, unsaved])
def test_a_worker_outlives_a_redis_that_refuses_and_goes_on(
    fleet: Fleet, unused_port: int, refusing: Callable[[Fleet, int], AbstractContextManager[None]]
) -> None:
    """Every worker of a fleet hears it in the same moment: should they end, nobody would be left."""
    worker = fleet.worker("w1")
    fleet.ledger().enqueue([EnqueueRequest("pass-1", "ph")])
    fleet.await_done(1)
    with refusing(fleet, unused_port):
        with fleet.redis() as redis, pytest.raises(ResponseError):
            redis.set("a", "b")
        time.sleep(5)
        assert worker.poll() is None
    fleet.ledger().enqueue([EnqueueRequest("pass-2", "ph")])
    fleet.await_done(2)
    assert worker.poll() is None
