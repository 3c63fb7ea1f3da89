"""The rate limit with many threads, and with a Redis that takes no writes."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.ports import free_port
from tests.support.web_process import web_process
from worker.errors import LedgerUnavailable
from worker.ledger.connection import connect
from worker.policy.api_tokens import Token
from worker.web.api.rate_limit import KEY, RateLimiter, quota_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from redis import Redis


def a_token(rate: float) -> Token:
    return Token("shop", frozenset({"read"}), b"", rate=rate)


def at_once(threads: int, work: Callable[[int], None]) -> None:
    running = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for each in running:
        each.start()
    for each in running:
        each.join()


@pytest.mark.parametrize("processes", [1, 2])
def test_no_place_is_lost_however_many_threads_ask_at_once(redis: Redis, processes: int) -> None:
    """What Redis has given away was used, except for what each process still holds."""
    token, quota = a_token(100), 1000
    limiters = [RateLimiter(redis) for _ in range(processes)]
    script = limiters[0]._script

    def slow(**given: Any) -> Any:
        found = script(**given)
        time.sleep(0.002)
        return found

    for each in limiters:
        each._script = slow  # type: ignore[assignment]
    admitted: list[bool] = []

    def ask(number: int) -> None:
        for _ in range(25):
            admitted.append(limiters[number % processes].spend(token).admitted)  # noqa: PERF401

    began = time.monotonic()
    at_once(16, ask)
    took_s = time.monotonic() - began
    assert admitted == [True] * 400
    seconds, microseconds = redis.time()
    ahead_ms = float(redis.get(KEY + "shop") or 0) - seconds * 1000 - microseconds / 1000
    given_away = ahead_ms / 10 + took_s * 100
    assert given_away <= 400 + processes * quota / 100 + 20


def test_threads_that_wait_for_a_silent_redis_wait_for_it_once(redis: Redis) -> None:
    limiter = RateLimiter(connect(f"redis://127.0.0.1:{free_port()}/0"))
    asked: list[float] = []

    def silent(**given: Any) -> Any:
        del given
        asked.append(time.monotonic())
        time.sleep(0.5)
        raise LedgerUnavailable("Redis does not answer")

    limiter._script = silent  # type: ignore[assignment]
    refused: list[bool] = []

    def ask(number: int) -> None:
        del number
        with pytest.raises(LedgerUnavailable, match="does not answer"):
            limiter.spend(a_token(100))
        refused.append(True)

    at_once(8, ask)
    assert len(refused) == 8
    assert len(asked) <= 2


@pytest.mark.parametrize(
    ("rate", "most", "window_s"), [(0.01, 1, 100), (0.16, 2, 12.5), (0.5, 5, 10), (100, 1000, 10)]
)
def test_a_low_rate_is_kept(redis: Redis, rate: float, most: int, window_s: float) -> None:
    found, found_s = quota_of(rate)
    assert found == most
    assert found_s == pytest.approx(window_s)
    if most > 10:
        return
    spent = [RateLimiter(redis).spend(a_token(rate)) for _ in range(most + 1)]
    assert [each.admitted for each in spent] == [True] * most + [False]
    assert 0.9 / rate <= spent[-1].retry_after_s <= 1 / rate + 1
    assert f";w={round(window_s)}" in spent[0].headers["RateLimit-Policy"]


def test_the_lowest_rate_is_a_rate(redis: Redis) -> None:
    assert [RateLimiter(redis).spend(a_token(5e-324)).admitted for _ in range(2)] == [True, False]


@pytest.fixture
def full(redis: Redis) -> Iterator[Redis]:
    redis.config_set("maxmemory", "1")
    yield redis
    redis.config_set("maxmemory", "0")


@pytest.fixture
def read_only(redis: Redis) -> Iterator[Redis]:
    redis.replicaof("127.0.0.1", free_port())
    yield redis
    redis.replicaof("NO", "ONE")


@pytest.mark.parametrize("refuses", ["full", "read_only"])
def test_a_process_counts_by_itself_while_redis_takes_no_writes(
    request: pytest.FixtureRequest, refuses: str
) -> None:
    limiter = RateLimiter(request.getfixturevalue(refuses))
    spent = [limiter.spend(a_token(0.3)) for _ in range(5)]
    assert [each.admitted for each in spent] == [True, True, True, False, False]
    assert [each.left for each in spent] == [2, 1, 0, 0, 0]
    assert 1 <= spent[-1].retry_after_s <= 4


def test_reads_continue_while_redis_is_full(redis: Redis, redis_url: str, tmp_path: Path) -> None:
    with web_process(tmp_path, redis_url) as web:
        body = {"signature_id": "a", "region": "ph"}
        assert web.post("/v1/verifications", body).status == 202
        redis.config_set("maxmemory", "1")
        try:
            for path in ("/v1/decisions", "/v1/verifications/ph/a", "/v1/verifications?stage=polling"):
                answer = web.get(path)
                assert answer.status == 200, (path, answer.raw)
                assert answer.headers["ratelimit"].startswith('"default";r=')
            assert web.post("/v1/verifications", body | {"signature_id": "b"}).status == 503
        finally:
            redis.config_set("maxmemory", "0")
        assert web.post("/v1/verifications", body | {"signature_id": "b"}).status == 202
