"""How often a dispatcher asks the broker whether the queue of batches is empty, and how often it claims."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery
from kombu import Queue

from tests.support.waiting import until
from worker.runtime import dispatcher
from worker.runtime.dispatcher import ASK_AGAIN_S, BUSY, CLAIM_AGAIN_S, DispatcherThread
from worker.runtime.in_flight import InFlight
from worker.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis


class Paced(DispatcherThread):
    """A dispatcher that has nothing to claim, and notes when it claims, waits and sleeps."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.claims: list[float] = []
        self.waits: list[float] = []
        self.sleeps: list[float] = []
        self._stopping = Noted(self.waits)

    def claim(self, producer: object) -> float:
        del producer
        self.claims.append(time.monotonic())
        return 0.06

    def _sleep(self, sleep_s: float) -> None:
        self.sleeps.append(sleep_s)
        time.sleep(0.002)


class Noted(threading.Event):
    def __init__(self, waits: list[float]) -> None:
        super().__init__()
        self._waits = waits

    def wait(self, timeout: float | None = None) -> bool:
        self._waits.append(timeout or 0.0)
        return super().wait(timeout)


@pytest.fixture
def in_flight(monkeypatch: pytest.MonkeyPatch) -> InFlight:
    log = SimpleNamespace(unavailable=print, recovered=lambda: None)
    in_flight = InFlight(512, 8, ["ph"])
    parts = SimpleNamespace(
        event_loop=SimpleNamespace(is_stuck=False), dependency_log=log, in_flight=in_flight
    )
    monkeypatch.setattr(dispatcher, "services", lambda: parts)
    return in_flight


@contextmanager
def running(redis_url: str) -> Iterator[Paced]:
    settings = replace(Settings(), redis_url=redis_url, broker_url=redis_url)
    with Celery(broker=redis_url) as app:
        app.conf.task_queues = [Queue(settings.queue)]
        thread = Paced(app, settings, free_slots=lambda: 1, hold_log=SimpleNamespace())
        thread.start()
        try:
            yield thread
        finally:
            thread.stop()
            thread.join(10)
            assert not thread.is_alive()


@pytest.mark.usefixtures("in_flight")
def test_a_busy_queue_is_asked_about_ever_more_rarely(redis: Redis, redis_url: str) -> None:
    """And as often as before once it was empty."""
    first_s, longest_s = ASK_AGAIN_S
    queue = Settings().queue
    redis.lpush(queue, "a batch")
    with running(redis_url) as thread:
        until(lambda: len(thread.waits) >= 4, "the dispatcher asks again")
        assert thread.waits[:4] == [first_s, 2 * first_s, longest_s, longest_s]
        assert not thread.claims
        redis.delete(queue)
        until(lambda: thread.claims, "it claims")
        before = len(thread.waits)
        redis.lpush(queue, "a batch")
        until(lambda: longest_s in thread.waits[before:], "the queue is busy again")
        assert first_s in thread.waits[before:]


def test_a_worker_with_enough_in_flight_lets_more_become_due(redis_url: str, in_flight: InFlight) -> None:
    """What is left of its sleep is slept afterwards."""
    with in_flight.of("ph", BUSY), running(redis_url) as thread:
        until(lambda: len(thread.claims) >= 4 and thread.sleeps, "it claims and sleeps")
        # Before its end, which cuts a wait short. On a busy machine a wait is so long that no sleep is left.
        claims, sleeps = thread.claims[:], thread.sleeps[:]
    assert all(later - earlier >= CLAIM_AGAIN_S for earlier, later in pairwise(claims))
    assert all(sleep_s <= 0.06 - CLAIM_AGAIN_S for sleep_s in sleeps)


def test_a_worker_with_little_in_flight_waits_for_nothing(redis_url: str, in_flight: InFlight) -> None:
    with in_flight.of("ph", BUSY - 1), running(redis_url) as thread:
        until(lambda: len(thread.claims) >= 4, "it claims")
    assert not thread.waits
    assert set(thread.sleeps) == {0.06}
