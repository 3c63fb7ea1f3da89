"""The sessions of open tabs: one look in Redis a second, and no thread that hangs with Redis."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.waiting import until
from worker.errors import LedgerUnavailable
from worker.web.console.live_redis import LiveRedis
from worker.web.console.live_sessions import AWAY_S, FRESH_S, MOST, LiveSessions


class Redis:
    """What the sessions ask: it counts the questions. None: it does not answer."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer: bool | None = True

    def ask(self) -> bool:
        self.asked += 1
        if self.answer is None:
            raise LedgerUnavailable("Redis is away")
        return self.answer


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_all_tabs_of_a_session_ask_once_a_second() -> None:
    redis, clock = Redis(), Clock()
    sessions = LiveSessions(LiveRedis(clock), clock)
    assert all(sessions.goes_on("a", redis.ask) for _ in range(50))
    assert redis.asked == 1
    assert sessions.goes_on("b", redis.ask)
    assert redis.asked == 2
    clock.now += FRESH_S
    assert sessions.goes_on("a", redis.ask)
    assert redis.asked == 3


def test_a_session_that_ended_is_found_out_within_a_second_and_at_once_after_log_out() -> None:
    redis, clock = Redis(), Clock()
    sessions = LiveSessions(LiveRedis(clock), clock)
    assert sessions.goes_on("a", redis.ask)
    redis.answer = False
    clock.now += FRESH_S
    assert not sessions.goes_on("a", redis.ask)
    # A no is never kept.
    assert not sessions.goes_on("a", redis.ask)
    assert redis.asked == 3
    redis.answer = True
    assert sessions.goes_on("a", redis.ask)
    redis.answer = False
    sessions.forget("a")
    assert not sessions.goes_on("a", redis.ask)


def test_without_redis_a_session_goes_on_for_a_minute_and_another_is_refused() -> None:
    redis, clock = Redis(), Clock()
    sessions = LiveSessions(LiveRedis(clock), clock)
    assert sessions.goes_on("a", redis.ask)
    redis.answer = None
    clock.now += AWAY_S - 0.1
    assert sessions.goes_on("a", redis.ask)
    with pytest.raises(LedgerUnavailable):
        sessions.goes_on("b", redis.ask)
    # While it is known to be away, it is not asked.
    assert redis.asked == 2
    clock.now += FRESH_S
    with pytest.raises(LedgerUnavailable):
        sessions.goes_on("a", redis.ask)
    redis.answer = True
    clock.now += FRESH_S
    assert sessions.goes_on("a", redis.ask)


def test_a_redis_that_hangs_takes_three_threads_and_the_others_go_on() -> None:
    redis, hangs = Redis(), threading.Event()
    clock = Clock()
    sessions = LiveSessions(LiveRedis(clock), clock)
    assert sessions.goes_on("a", redis.ask)
    clock.now += FRESH_S
    inside = []

    def hang() -> bool:
        inside.append(1)
        hangs.wait()
        return True

    with ThreadPoolExecutor(8) as pool:
        try:
            asked = [pool.submit(sessions.goes_on, "a", hang) for _ in range(8)]
            until(lambda: sum(each.done() for each in asked) == 5, "five go on")
            assert len(inside) == 3
            began = time.monotonic()
            assert sessions.goes_on("a", hang)
            # Ten times off.
            assert time.monotonic() - began < 10
        finally:
            hangs.set()
        assert all(each.result() for each in asked)


def test_what_is_kept_has_a_bound() -> None:
    redis, clock = Redis(), Clock()
    sessions = LiveSessions(LiveRedis(clock), clock)
    for number in range(MOST + 50):
        sessions.goes_on(number, redis.ask)
    assert len(sessions._valid) <= MOST
    clock.now += AWAY_S + 1
    sessions.goes_on("new", redis.ask)
    assert len(sessions._valid) == 1
