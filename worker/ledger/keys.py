"""Reads without a script: the ledger's clock, and a scan of the keys of a region."""

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
    """Return the clock of a region's ledger in ms. All times in the ledger are by it: see ``lua/common.lua``."""
    with translated(), redis.pipeline(transaction=False) as pipe:
        pipe.time()
        pipe.hmget(f"{prefix(region)}clock", "ahead", "seen")
        (seconds, micros), (ahead_ms, seen_ms) = pipe.execute()
    redis_ms: int = seconds * 1000 + micros // 1000
    return max(redis_ms + int(float(ahead_ms or 0)), int(seen_ms or 0))


def signature_ids(redis: Redis, region: str, count: int) -> Iterator[list[str]]:
    """Yield all ids in a region's ledger, in lists. This scans all keys of Redis.

    Raises ``LedgerUnavailable``. Its message names a right that the account may lack, because workers do not need it.
    """
    base, cursor = f"{prefix(region)}v:", 0
    while True:
        with translated():
            try:
                page: tuple[int, list[Any]] = redis.scan(cursor, match=f"{base}*", count=count)
            except NoPermissionError:
                user = redis.connection_pool.connection_kwargs.get("username") or "default"
                raise LedgerUnavailable(
                    "the account in REDIS_URL may not scan all keys, which this command needs: "
                    f"run ACL SETUSER {user} +scan in Redis, or use an account that has this right"
                ) from None
        cursor, keys = page
        yield [key.decode().removeprefix(base) for key in keys]
        if not cursor:
            return
