"""Which workers there are, as a real Valkey remembers it, and how a worker's heartbeat says so."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.support.waiting import until
from worker.ledger.connection import connect
from worker.ledger.worker_registry import KEY, Worker, WorkerRegistry
from worker.runtime.health_file import HealthFile
from worker.runtime.heartbeat import Heartbeat
from worker.time_budget import WORKER_FORGOTTEN_S, WORKER_SEEN_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from redis import Redis

pytestmark = pytest.mark.every_server

ONE = Worker("w1@host", "1", "0.1.0")
OTHER = Worker("w2@host", "2", "0.1.0")


class Loop:
    """A loop that turned so many seconds ago."""

    def __init__(self, turned_s_ago: float = 0.0) -> None:
        self.turned_at = time.monotonic() - turned_s_ago


@pytest.fixture
def registry(redis: Redis) -> WorkerRegistry:
    return WorkerRegistry(redis)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "alive"


@pytest.fixture
def heartbeat(registry: WorkerRegistry, file: Path) -> Iterator[Heartbeat]:
    heartbeat = Heartbeat(registry, ONE, HealthFile(file))
    heartbeat.start()
    yield heartbeat
    heartbeat.end()


def age_s(file: Path) -> float:
    return time.time() - file.stat().st_mtime if file.exists() else float("inf")


def test_who_signed_in_is_there_with_its_table_until_it_signs_out(registry: WorkerRegistry) -> None:
    registry.sign_in(OTHER)
    registry.sign_in(ONE)
    registry.sign_in(ONE)
    assert registry.present() == (ONE, OTHER)
    registry.sign_out(ONE)
    assert registry.present() == (OTHER,)


def test_two_processes_under_one_name_are_two(registry: WorkerRegistry) -> None:
    registry.sign_in(replace(ONE, process="a"))
    registry.sign_in(replace(ONE, process="b"))
    assert [worker.name for worker in registry.present()] == [ONE.name, ONE.name]


def test_a_worker_of_an_older_release_names_no_process(registry: WorkerRegistry, redis: Redis) -> None:
    redis.zadd(KEY, {b'["w1@host", "1", "0.1.0"]': 9e15})
    assert registry.present() == (ONE,)


def test_who_was_not_seen_lately_is_not_there(registry: WorkerRegistry) -> None:
    registry.sign_in(ONE, seen_s_ago=WORKER_SEEN_S + 1)
    registry.sign_in(OTHER, seen_s_ago=WORKER_SEEN_S - 5)
    assert registry.present() == (OTHER,)


def test_the_dead_are_forgotten_by_the_living_and_the_last_one_by_redis(
    registry: WorkerRegistry, redis: Redis
) -> None:
    registry.sign_in(ONE)
    redis.zadd(KEY, {b'["dead", "1", "0.1.0"]': 1})
    registry.sign_in(OTHER)
    assert redis.zcard(KEY) == 2
    assert 0 < redis.pttl(KEY) <= WORKER_FORGOTTEN_S * 1000


def test_a_name_that_an_operator_chose_cannot_break_the_list(registry: WorkerRegistry) -> None:
    registry.sign_in(Worker('w"|\n]@host', "a|b", "0.1.0"))
    assert registry.present() == (Worker('w"/ ]@host', "a/b", "0.1.0"),)


def test_a_worker_whose_loop_turns_is_there_and_its_file_is_fresh(
    heartbeat: Heartbeat, registry: WorkerRegistry, file: Path
) -> None:
    heartbeat.follow(Loop())
    until(lambda: registry.present() == (ONE,), "it has signed in")
    until(lambda: age_s(file) < 5, "the file is fresh")


def test_a_loop_that_hangs_leaves_the_file_as_old_as_its_last_turn(
    heartbeat: Heartbeat, registry: WorkerRegistry, file: Path
) -> None:
    heartbeat.follow(Loop(turned_s_ago=100))
    until(lambda: 99 < age_s(file) < 110, "the file tells of it")
    assert registry.present() == ()


def test_a_worker_that_waits_for_its_broker_lives_and_is_not_there(
    heartbeat: Heartbeat, registry: WorkerRegistry, file: Path
) -> None:
    heartbeat.follow(Loop(turned_s_ago=8))
    until(lambda: registry.present() == (ONE,), "it has signed in")
    heartbeat.follow(None)
    until(lambda: registry.present() == () and age_s(file) < 5, "it has signed out")


def test_at_the_end_nothing_is_left_of_it(
    heartbeat: Heartbeat, registry: WorkerRegistry, file: Path, redis: Redis
) -> None:
    heartbeat.follow(Loop())
    until(file.exists, "the first beat")
    heartbeat.end()
    assert (file.exists(), redis.exists(KEY), heartbeat.is_alive()) == (False, 0, False)


def test_without_redis_it_beats_all_the_same(unused_port: int, file: Path) -> None:
    away = connect(f"redis://127.0.0.1:{unused_port}/0", timeout_s=0.2)
    heartbeat = Heartbeat(WorkerRegistry(away), ONE, HealthFile(file))
    heartbeat.start()
    heartbeat.follow(Loop())
    until(lambda: age_s(file) < 5, "the file is fresh")
    heartbeat.end()
    assert not file.exists()


@pytest.mark.parametrize("spoil", [lambda file: file.mkdir(), lambda file: shutil.rmtree(file.parent)])
def test_a_file_that_cannot_be_written_any_more_stops_nobody(
    registry: WorkerRegistry, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    heartbeat = Heartbeat(registry, ONE, HealthFile(folder / "alive"))
    spoil(folder / "alive")
    heartbeat.start()
    heartbeat.follow(Loop())
    until(lambda: registry.present() == (ONE,), "it has signed in all the same")
    heartbeat.end()
    assert registry.present() == ()
