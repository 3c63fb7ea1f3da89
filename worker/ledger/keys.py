"""Reads for people, past the scripts: the ledger's clock, and a walk through the keys of a region."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redis.exceptions import NoPermissionError

from worker.errors import LedgerUnavailable
from worker.ledger.connection import translated
from worker.ledger.scripts import prefix

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis


def now_ms(redis: Redis, region: str) -> int:
    """The clock of a region's ledger, by which every moment in it is: see ``lua/common.lua``."""
    with translated(), redis.pipeline(transaction=False) as pipe:
        pipe.time()
        pipe.hmget(f"{prefix(region)}clock", "ahead", "seen")
        (seconds, micros), (ahead_ms, seen_ms) = pipe.execute()
    redis_ms: int = seconds * 1000 + micros // 1000
    return max(redis_ms + int(float(ahead_ms or 0)), int(seen_ms or 0))


def signature_ids(redis: Redis, region: str, count: int) -> Iterator[list[str]]:
    """All ids that a region's ledger remembers, some at a time: it walks through the keys of the whole Redis.

    Raises ``LedgerUnavailable``, which names the right that the account lacks: workers do without it.
    """
    base, cursor = f"{prefix(region)}v:", 0
    while True:
        with translated():
            try:
                page: tuple[int, list[Any]] = redis.scan(cursor, match=f"{base}*", count=count)
            except NoPermissionError:
                user = redis.connection_pool.connection_kwargs.get("username") or "default"
                raise LedgerUnavailable(
                    "the account in REDIS_URL may not walk through all keys, which this needs: "
                    f"type ACL SETUSER {user} +scan in Redis, or use an account that may"
                ) from None
        cursor, keys = page
        yield [key.decode().removeprefix(base) for key in keys]
        if not cursor:
            return
