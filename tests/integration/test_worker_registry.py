"""Which workers there are, as a real Valkey remembers it, and how a worker's pulse says so."""

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
def roster(redis: Redis) -> WorkerRegistry:
    return WorkerRegistry(redis)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "alive"


@pytest.fixture
def pulse(roster: WorkerRegistry, file: Path) -> Iterator[Heartbeat]:
    pulse = Heartbeat(roster, ONE, HealthFile(file))
    pulse.start()
    yield pulse
    pulse.end()


def age_s(file: Path) -> float:
    return time.time() - file.stat().st_mtime if file.exists() else float("inf")


def test_who_signed_in_is_there_with_its_table_until_it_signs_out(roster: WorkerRegistry) -> None:
    roster.sign_in(OTHER)
    roster.sign_in(ONE)
    roster.sign_in(ONE)
    assert roster.present() == (ONE, OTHER)
    roster.sign_out(ONE)
    assert roster.present() == (OTHER,)


def test_two_processes_under_one_name_are_two(roster: WorkerRegistry) -> None:
    roster.sign_in(replace(ONE, process="a"))
    roster.sign_in(replace(ONE, process="b"))
    assert [worker.name for worker in roster.present()] == [ONE.name, ONE.name]


def test_a_worker_of_an_older_release_names_no_process(roster: WorkerRegistry, redis: Redis) -> None:
    redis.zadd(KEY, {b'["w1@host", "1", "0.1.0"]': 9e15})
    assert roster.present() == (ONE,)


def test_who_was_not_seen_lately_is_not_there(roster: WorkerRegistry) -> None:
    roster.sign_in(ONE, seen_s_ago=WORKER_SEEN_S + 1)
    roster.sign_in(OTHER, seen_s_ago=WORKER_SEEN_S - 5)
    assert roster.present() == (OTHER,)


def test_the_dead_are_forgotten_by_the_living_and_the_last_one_by_redis(
    roster: WorkerRegistry, redis: Redis
) -> None:
    roster.sign_in(ONE)
    redis.zadd(KEY, {b'["dead", "1", "0.1.0"]': 1})
    roster.sign_in(OTHER)
    assert redis.zcard(KEY) == 2
    assert 0 < redis.pttl(KEY) <= WORKER_FORGOTTEN_S * 1000


def test_a_name_that_an_operator_chose_cannot_break_the_list(roster: WorkerRegistry) -> None:
    roster.sign_in(Worker('w"|\n]@host', "a|b", "0.1.0"))
    assert roster.present() == (Worker('w"/ ]@host', "a/b", "0.1.0"),)


def test_a_worker_whose_loop_turns_is_there_and_its_file_is_fresh(
    pulse: Heartbeat, roster: WorkerRegistry, file: Path
) -> None:
    pulse.follow(Loop())
    until(lambda: roster.present() == (ONE,), "it has signed in")
    until(lambda: age_s(file) < 5, "the file is fresh")


def test_a_loop_that_hangs_leaves_the_file_as_old_as_its_last_turn(
    pulse: Heartbeat, roster: WorkerRegistry, file: Path
) -> None:
    pulse.follow(Loop(turned_s_ago=100))
    until(lambda: 99 < age_s(file) < 110, "the file tells of it")
    assert roster.present() == ()


def test_a_worker_that_waits_for_its_broker_lives_and_is_not_there(
    pulse: Heartbeat, roster: WorkerRegistry, file: Path
) -> None:
    pulse.follow(Loop(turned_s_ago=15))
    until(lambda: roster.present() == (ONE,), "it has signed in")
    pulse.follow(None)
    until(lambda: roster.present() == () and age_s(file) < 5, "it has signed out")


def test_at_the_end_nothing_is_left_of_it(
    pulse: Heartbeat, roster: WorkerRegistry, file: Path, redis: Redis
) -> None:
    pulse.follow(Loop())
    until(file.exists, "the first beat")
    pulse.end()
    assert (file.exists(), redis.exists(KEY), pulse.is_alive()) == (False, 0, False)


def test_without_redis_it_beats_all_the_same(unused_port: int, file: Path) -> None:
    away = connect(f"redis://127.0.0.1:{unused_port}/0", timeout_s=0.2)
    pulse = Heartbeat(WorkerRegistry(away), ONE, HealthFile(file))
    pulse.start()
    pulse.follow(Loop())
    until(lambda: age_s(file) < 5, "the file is fresh")
    pulse.end()
    assert not file.exists()


@pytest.mark.parametrize("spoil", [lambda file: file.mkdir(), lambda file: shutil.rmtree(file.parent)])
def test_a_file_that_cannot_be_written_any_more_stops_nobody(
    roster: WorkerRegistry, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    pulse = Heartbeat(roster, ONE, HealthFile(folder / "alive"))
    spoil(folder / "alive")
    pulse.start()
    pulse.follow(Loop())
    until(lambda: roster.present() == (ONE,), "it has signed in all the same")
    pulse.end()
    assert roster.present() == ()
