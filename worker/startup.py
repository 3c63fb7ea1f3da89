"""What a worker checks before it starts: better one clear line now than a fault for every person later."""

from __future__ import annotations

from worker.ending import end_with
from worker.errors import ConfigError, EkycError
from worker.patience import await_redis
from worker.services import services


def check(pool: str) -> None:
    """Pool, settings, decision table, Redis and evidence store. Ends the process with one line on a fault."""
    try:
        if "thread" not in pool:
            raise ConfigError("the worker runs in threads: start it without -P, and one process per core")
        parts = services()
        await_redis(parts.settings.redis_url, parts.settings.start_wait_s)
        parts.evidence.check()
    except EkycError as error:
        end_with(error)
