"""Reads without a script: the ledger's clock, and a scan of the keys of a region."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import NoPermissionError

from worker.enqueue_request import DEFAULT_PIPELINE
from worker.errors import RightMissing
from worker.ledger.connection import translated
from worker.ledger.scripts import prefix

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

    from worker.ledger.models import Stage


#: No time or count of a script is as large.
_MOST: Final = 1e15


def now_ms(redis: Redis, region: str) -> int:
    """Return the clock of a region's ledger in ms. All times in the ledger are by it: see ``lua/common.lua``."""
    with translated(), redis.pipeline(transaction=False) as pipe:
        pipe.time()
        pipe.hmget(f"{prefix(region)}clock", "ahead", "seen")
        (seconds, micros), (ahead_ms, seen_ms) = pipe.execute()
    redis_ms: int = seconds * 1000 + micros // 1000
    return max(redis_ms + _ms(ahead_ms), _ms(seen_ms))


def _ms(raw: bytes | None) -> int:
    """Return a stored number of ms; 0 for what no script has written, as `number_of` in ``lua/common.lua`` reads it."""
    try:
        number = float(raw or 0)
    except ValueError:
        return 0
    return math.floor(number) if abs(number) < _MOST else 0


def due_set(stage: Stage, pipeline: str = DEFAULT_PIPELINE) -> str:
    """Return the key of a pipeline's due set, without the prefix of its region."""
    return f"due:{stage}" if pipeline == DEFAULT_PIPELINE else f"due:{stage}:{pipeline}"


def pipelines(redis: Redis, region: str, stage: Stage) -> tuple[str, ...]:
    """Return the pipelines that have a due set of their own at a stage, sorted; the default one has none of its own."""
    with translated():
        turns: Any = redis.hget(f"{prefix(region)}clock", stage)
    return pipelines_of(turns)


def pipelines_of(turns: bytes | None) -> tuple[str, ...]:
    """Return the pipelines that the turns of a stage name, sorted, without the default one."""
    return tuple(sorted({*(turns or b"").decode(errors="replace").split()} - {DEFAULT_PIPELINE}))


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
                raise scan_denied(redis) from None
        cursor, keys = page
        # A client of Redis may have written any key: what is no text has no verification.
        yield [key.decode(errors="replace").removeprefix(base) for key in keys]
        if not cursor:
            return


def scan_denied(redis: Redis) -> RightMissing:
    """Return the error for an account that may not scan all keys: workers do not need that right, people do."""
    user = redis.connection_pool.connection_kwargs.get("username") or "default"
    return RightMissing(
        "the account in REDIS_URL may not scan all keys, which this needs: "
        f"run `ACL SETUSER {user} +scan` in Redis, or use an account that has this right"
    )
