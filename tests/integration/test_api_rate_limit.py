"""The rate limit of a token, on a real server."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.ports import free_port
from tests.support.waiting import until
from worker.errors import LedgerUnavailable
from worker.ledger.connection import connect
from worker.policy.api_tokens import Token
from worker.web.api import rate_limit
from worker.web.api.rate_limit import KEY, RateLimiter

if TYPE_CHECKING:
    from redis import Redis


def a_token(rate: float, name: str = "shop") -> Token:
    return Token(name, frozenset({"read"}), b"", rate=rate)


def set_forward(redis: Redis, by_ms: float, name: str = "shop") -> None:
    """As if so much time had passed."""
    arrival = float(redis.get(KEY + name) or 0)
    redis.set(KEY + name, f"{arrival - by_ms:.3f}")


@pytest.mark.every_server
def test_the_quota_may_come_at_once_and_comes_back_with_time(redis: Redis) -> None:
    token = a_token(0.5)
    spent = [RateLimiter(redis).spend(token) for _ in range(6)]
    assert [each.admitted for each in spent] == [True] * 5 + [False]
    assert [each.left for each in spent] == [4, 3, 2, 1, 0, 0]
    assert 1 <= spent[-1].retry_after_s <= 2
    assert 9 <= spent[-1].reset_s <= 10
    set_forward(redis, 2000)
    assert [RateLimiter(redis).spend(token).admitted for _ in range(2)] == [True, False]
    set_forward(redis, 3_600_000)
    assert [RateLimiter(redis).spend(token).left for _ in range(2)] == [4, 3]


def test_the_key_goes_by_itself(redis: Redis) -> None:
    RateLimiter(redis).spend(a_token(0.5))
    assert 0 < redis.pttl(f"{KEY}shop") <= 2001


def test_tokens_have_quotas_of_their_own(redis: Redis) -> None:
    limiter = RateLimiter(redis)
    assert [limiter.spend(a_token(0.1)).admitted for _ in range(2)] == [True, False]
    assert limiter.spend(a_token(0.1, "other")).admitted


def test_a_clock_that_is_set_back_locks_no_token_out_for_longer_than_the_window(redis: Redis) -> None:
    RateLimiter(redis).spend(a_token(0.5))
    set_forward(redis, -3_600_000)
    refused = RateLimiter(redis).spend(a_token(0.5))
    assert not refused.admitted
    assert refused.retry_after_s <= 2
    set_forward(redis, 2000)
    assert RateLimiter(redis).spend(a_token(0.5)).admitted


@pytest.mark.parametrize("processes", [1, 3])
def test_no_more_are_admitted_than_the_quota_however_many_ask_at_once(redis: Redis, processes: int) -> None:
    token = a_token(50)
    limiters = [RateLimiter(redis) for _ in range(processes)]
    admitted: list[bool] = []

    def ask(number: int) -> None:
        for _ in range(250):
            admitted.append(limiters[number % processes].spend(token).admitted)  # noqa: PERF401

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took_s = time.monotonic() - began
    assert 450 <= sum(admitted) <= 500 + 50 * (took_s + 1)


def test_a_busy_process_asks_redis_seldom_and_a_quiet_one_takes_no_more_than_it_uses(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, limiter = a_token(1000), RateLimiter(redis)
    redis.config_resetstat()
    for _ in range(1000):
        limiter.spend(token)
    calls = redis.info("commandstats")["cmdstat_evalsha"]["calls"]
    assert calls < 50
    monkeypatch.setattr(rate_limit, "TAKEN_FOR_S", 0.0)
    left = [RateLimiter(redis).spend(a_token(1000, "quiet")).left for _ in range(5)]
    assert left[0] - left[-1] <= 5


def test_a_refusal_is_repeated_without_redis(redis: Redis) -> None:
    token, limiter = a_token(0.1), RateLimiter(redis)
    limiter.spend(token)
    limiter.spend(token)
    calls = redis.info("commandstats")["cmdstat_evalsha"]["calls"]
    assert not any(limiter.spend(token).admitted for _ in range(20))
    assert redis.info("commandstats")["cmdstat_evalsha"]["calls"] == calls


def test_a_token_whose_rate_was_raised_is_not_refused_any_longer(redis: Redis) -> None:
    limiter = RateLimiter(redis)
    assert [limiter.spend(a_token(0.1)).admitted for _ in range(2)] == [True, False]
    until(lambda: limiter.spend(a_token(1000)).admitted, "the new rate counts", 5)


def test_without_redis_there_is_no_admission() -> None:
    limiter = RateLimiter(connect(f"redis://127.0.0.1:{free_port()}/0"))
    with pytest.raises(LedgerUnavailable, match="the rate limit"):
        limiter.spend(a_token(1))
