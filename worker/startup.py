"""What a worker checks before it starts: better one clear line now than a fault for every person later."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from worker.ending import end_with
from worker.errors import ConfigError, EkycError
from worker.patience import await_redis
from worker.services import services

if TYPE_CHECKING:
    from pathlib import Path


def check(pool: str) -> None:
    """Pool, settings, decision table, Redis and evidence store. Ends the process with one line on a fault."""
    try:
        if "thread" not in pool:
            raise ConfigError("the worker runs in threads: start it without -P, and one process per core")
        parts = services()
        _check_health_file(parts.settings.health_file)
        await_redis(parts.settings.redis_url, parts.settings.start_wait_s)
        parts.evidence.check()
    except EkycError as error:
        end_with(error)


def _check_health_file(path: Path | None) -> None:
    if path is not None and not os.access(path.parent, os.W_OK | os.X_OK):
        raise ConfigError(
            f"EKYC_HEALTH_FILE: the folder {path.parent} is not there, or we may not write to it"
        )
