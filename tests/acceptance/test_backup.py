"""What docs/upkeep.md says of copies of Redis, done: the append-only file, a snapshot, a replica, a single region."""

from __future__ import annotations

import shutil
import signal
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import redis as redis_py

from schemas.enqueue import EnqueueRequest
from tests.acceptance.fleet import fleet_at
from tests.support.servers import VALKEY, running_server
from tests.support.waiting import until
from worker.ledger import Stats

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.acceptance.fleet import Fleet

pytestmark = pytest.mark.timeout(180)


@contextmanager
def valkey(folder: Path, appendonly: str = "yes") -> Iterator[redis_py.Redis]:
    """A client of a Valkey whose files lie there."""
    with (
        running_server(VALKEY, folder, appendonly=appendonly) as server,
        redis_py.Redis(port=server.port) as client,
    ):
        yield client


def url(redis: redis_py.Redis) -> str:
    return f"redis://127.0.0.1:{redis.connection_pool.connection_kwargs['port']}/0"


def at(fleet: Fleet, redis: redis_py.Redis, regions: str = "ph,sg") -> Fleet:
    """The same fleet with another Redis."""
    environment = fleet.environment | {"REDIS_URL": url(redis), "ADVANCE_REGIONS": regions}
    return replace(fleet, redis_url=url(redis), environment=environment)


def rewritten(redis: redis_py.Redis) -> bool:
    state = redis.info("persistence")
    return not state["aof_rewrite_in_progress"] and not state["aof_rewrite_scheduled"]


def test_a_copy_of_the_append_only_file_is_a_whole_ledger(tmp_path: Path) -> None:
    """Copied under a fleet at work; then Redis is lost. What the copy did not know is enqueued again, harmlessly."""
    names = [f"pass-n3-{number}" for number in range(30)]
    with valkey(tmp_path / "first") as redis, fleet_at(url(redis), tmp_path) as fleet:
        worker = fleet.worker("before")
        fleet.ledger().enqueue([EnqueueRequest(name, "ph") for name in names])
        fleet.await_done(5)
        redis.config_set("auto-aof-rewrite-percentage", 0)
        until(lambda: rewritten(redis), "no rewrite is under way")
        shutil.copytree(tmp_path / "first" / "appendonlydir", tmp_path / "second" / "appendonlydir")
        fleet.ledger().enqueue([EnqueueRequest("pass-after", "ph")])
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(timeout=60) == 0
        told = {each["id"]: each["decision"] for each in fleet.delivered()}

        with valkey(tmp_path / "second") as copy:
            again = at(fleet, copy)
            again.worker("after")
            again.ledger().enqueue([EnqueueRequest(name, "ph") for name in [*names, "pass-after"]])
            again.await_done(len(names) + 1)
            later = {each["id"]: each["decision"] for each in again.delivered()}
    assert {each["signature_id"] for each in (told | later).values()} == {*names, "pass-after"}
    for each in told.keys() & later.keys():
        assert told[each]["decision"] == later[each]["decision"]


def test_a_snapshot_is_read_with_the_append_only_file_off_and_that_is_switched_on_later(
    tmp_path: Path,
) -> None:
    """With it on, the snapshot is passed over: the ledger would be empty, and a worker would not notice."""
    with valkey(tmp_path / "first") as redis, fleet_at(url(redis), tmp_path) as fleet:
        fleet.ledger().enqueue([EnqueueRequest(f"pass-{number}", "ph") for number in range(7)])
        redis.bgsave()
        until(lambda: not redis.info("persistence")["rdb_bgsave_in_progress"], "the snapshot is there")
        for name in ("trap", "second"):
            (tmp_path / name).mkdir()
            shutil.copy(tmp_path / "first" / "dump.rdb", tmp_path / name / "dump.rdb")
    with valkey(tmp_path / "trap") as empty:
        assert empty.dbsize() == 0
    with valkey(tmp_path / "second", appendonly="no") as read:
        assert Stats(read).counts("ph").waiting == 7
        read.config_set("appendonly", "yes")
        until(lambda: rewritten(read), "the append-only file is written")
    with valkey(tmp_path / "second") as whole:
        assert Stats(whole).counts("ph").waiting == 7


def test_the_whole_ledger_moves_by_a_replica(tmp_path: Path) -> None:
    """With the broker's queues, which lie in the same Redis: decisions that nobody has read yet come along."""
    names = [f"pass-n6-{number}" for number in range(20)]
    with (
        valkey(tmp_path / "old") as old,
        valkey(tmp_path / "new") as new,
        fleet_at(url(old), tmp_path) as fleet,
    ):
        worker = fleet.worker("before")
        fleet.ledger().enqueue([EnqueueRequest(name, "ph") for name in [*names, "pass-n0"]])
        fleet.await_done(1)
        new.replicaof("127.0.0.1", old.connection_pool.connection_kwargs["port"])
        until(lambda: new.info("replication")["master_link_status"] == "up", "the replica follows")
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(timeout=60) == 0
        until(lambda: lag(old) == 0, "the replica has all")
        new.replicaof("NO", "ONE")
        old.flushall()

        moved = at(fleet, new)
        moved.worker("after")
        moved.await_done(len(names) + 1)
        told = [each["decision"]["signature_id"] for each in moved.delivered()]
        assert sorted(told) == sorted([*names, "pass-n0"])


def lag(redis: redis_py.Redis) -> int:
    """How many bytes its only replica has not confirmed yet."""
    state = redis.info("replication")
    return int(state["master_repl_offset"]) - int(state["slave0"]["offset"])


def test_a_region_moves_to_a_redis_of_its_own(tmp_path: Path) -> None:
    """Its keys are copied while nobody works on it; the other region stays where it is, and goes on."""
    with (
        valkey(tmp_path / "old") as old,
        valkey(tmp_path / "new") as new,
        fleet_at(url(old), tmp_path) as fleet,
    ):
        both = fleet.worker("both")
        for region in ("ph", "sg"):
            fleet.ledger().enqueue(
                [EnqueueRequest(f"pass-n6-{number}", region) for number in range(10)]
                + [EnqueueRequest("nosigid-1", region)]
            )
        until(lambda: fleet.stats().counts("ph").quarantined, "one is in quarantine")
        both.send_signal(signal.SIGTERM)
        assert both.wait(timeout=60) == 0
        here, there = at(fleet, old, "sg"), at(fleet, new, "ph")
        here.worker("here")
        # A message that the first worker put back is taken by the next one, which gives back what it names.
        until(lambda: not fleet.stats().counts("ph").in_flight, "nothing is held any more")
        before = fleet.stats().counts("ph")
        keys = list(old.scan_iter("ekyc:{ph}:*"))
        port = new.connection_pool.connection_kwargs["port"]
        old.migrate("127.0.0.1", port, keys, 0, 30_000, copy=True)
        after = there.stats().counts("ph")
        assert (after.waiting + after.done, after.quarantine) == (
            before.waiting + before.done,
            before.quarantine,
        )
        old.delete(*keys)
        there.worker("there")
        here.await_done(10, "sg")
        there.await_done(10)
        told = [each["id"] for fleet_ in (here, there) for each in fleet_.delivered()]
        assert len(told) == len(set(told)) == 20
