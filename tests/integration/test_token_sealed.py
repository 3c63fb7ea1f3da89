"""The token in Redis is of no use to a client of Redis, and no client of Redis can give the fleet another one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from schemas.token import Token
from worker.advance.token_box import TokenBox
from worker.advance.token_cache import TokenCache
from worker.http_client import deadline

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

KEY = "ekyc:{ph}:token"


@pytest.fixture(autouse=True)
def within_a_deadline() -> Iterator[None]:
    with deadline(30.0):
        yield


class Vendor:
    """Issues `token-1`, `token-2`, …"""

    def __init__(self) -> None:
        self.issued = 0

    def __call__(self, region: str) -> Token:
        del region
        self.issued += 1
        return Token(f"token-{self.issued}", int((time.time() + 3600) * 1000))


def process(redis: Redis, vendor: Vendor, secret: str = "vendors-secret") -> TokenCache:
    return TokenCache(redis, vendor, TokenBox(secret))


def test_processes_share_a_token_that_redis_does_not_have(redis: Redis) -> None:
    vendor = Vendor()
    assert [process(redis, vendor).get("ph") for _ in range(3)] == ["token-1"] * 3
    assert b"token-1" not in redis.get(KEY)  # type: ignore[operator]
    assert redis.pttl(KEY) > 3_500_000


@pytest.mark.parametrize(
    "written", ["3600000:of-the-attacker", "3600000:", "3600000", "3600000:é", "1:" + "A" * 400]
)
def test_a_token_that_someone_else_wrote_is_not_used(redis: Redis, written: str) -> None:
    """Nor is that of an older release."""
    vendor = Vendor()
    redis.set(KEY, written, px=3_600_000)
    assert process(redis, vendor).get("ph") == "token-1"
    assert process(redis, vendor).get("ph") == "token-1"


def test_a_token_of_another_region_or_of_another_fleet_is_not_used(redis: Redis) -> None:
    vendor = Vendor()
    assert process(redis, vendor).get("sg") == "token-1"
    redis.copy("ekyc:{sg}:token", KEY)
    assert process(redis, vendor).get("ph") == "token-2"
    assert process(redis, vendor, "another-secret").get("ph") == "token-3"


def test_a_changed_token_is_not_used(redis: Redis) -> None:
    vendor = Vendor()
    process(redis, vendor).get("ph")
    sealed = redis.get(KEY)
    assert isinstance(sealed, bytes)
    for changed in (sealed[:-8], sealed[:-1] + b"A", sealed + b"AAAA"):
        redis.set(KEY, changed, px=3_600_000)
        assert process(redis, vendor).get("ph") == f"token-{vendor.issued}"
    assert vendor.issued == 4
