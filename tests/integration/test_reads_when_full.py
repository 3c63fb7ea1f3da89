"""A Redis at its memory limit refuses writes. What people and alerts read is there all the same."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from schemas.enqueue import EnqueueRequest
from tests.support.cli_process import Ekyc
from tests.support.redis_states import full
from worker.ledger import Ledger, Stats, transitions
from worker.ledger.transitions import Heard
from worker.ledger.worker_registry import Worker, WorkerRegistry

if TYPE_CHECKING:
    from redis import Redis

pytestmark = pytest.mark.every_server


@pytest.fixture
def ledger(redis: Redis, ledger: Ledger) -> Ledger:
    """One waits, one is in quarantine; a worker is there."""
    ledger.enqueue([EnqueueRequest("id-1", "ph")])
    (batch,) = ledger.claim("ph", limit=1).batches
    (one,) = ledger.load(batch)
    ledger.record(batch, [transitions.quarantine(one, reason="UNREADABLE", heard=Heard("unreadable"))])
    ledger.enqueue([EnqueueRequest("id-2", "ph")])
    WorkerRegistry(redis).sign_in(Worker("w1", "table", "1"))
    return ledger


def test_what_people_and_alerts_read_is_there(redis: Redis, ledger: Ledger) -> None:
    with full(redis):
        counts = Stats(redis).counts("ph")
        assert (counts.enqueued, counts.waiting, counts.quarantined) == (2, 1, 1)
        status = ledger.status("ph", "id-2")
        assert status is not None
        assert status.due_at_ms == status.verification.enqueued_at_ms
        assert [worker.name for worker in WorkerRegistry(redis).present()] == ["w1"]


@pytest.mark.usefixtures("ledger")
def test_every_command_that_reads_works(redis: Redis, redis_url: str) -> None:
    ekyc = Ekyc({"REDIS_URL": redis_url, "ADVANCE_REGIONS": "ph"})
    with full(redis):
        stats = ekyc("stats", "--json")
        assert (stats.code, json.loads(stats.out)["waiting"]) == (0, 1), stats.err
        assert json.loads(stats.out)["decisions_unread"] == 0
        status = ekyc("status", "id-2", "--region", "ph", "--json")
        assert (status.code, json.loads(status.out)["stage"]) == (0, "polling"), status.err
        assert ekyc("watch", "--count", "1").code == 0
        assert "id-2" in ekyc("list").out
        listed = ekyc("quarantine", "list", "--json")
        assert listed.code == 0, listed.err
        assert "id-1" in listed.out


def test_reading_writes_nothing(redis: Redis, ledger: Ledger) -> None:
    """A script that wrote would be refused there, and a replica would refuse it always."""
    before = {name: redis.info("commandstats").get(name) for name in ("cmdstat_set", "cmdstat_multi")}
    keys = {key: redis.dump(key) for key in redis.scan_iter()}
    Stats(redis).counts("ph")
    ledger.status("ph", "id-2")
    WorkerRegistry(redis).present()
    assert {key: redis.dump(key) for key in redis.scan_iter()} == keys
    assert {name: redis.info("commandstats").get(name) for name in before} == before
