"""What a worker checks before it starts: better one clear line now than a fault for every person later."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Final

from worker.errors import ConfigError, EkycError, LedgerUnavailable
from worker.redis import connect, translated
from worker.services import services
from worker.settings import current

if TYPE_CHECKING:
    from pathlib import Path

#: How long to wait for a Redis that starts at the same time as we do.
WAIT_FOR_REDIS_S: Final = 60.0


def check(pool: str) -> None:
    """Pool, settings, decision table, Redis and evidence store. Ends the process with one line on a fault."""
    try:
        if "thread" not in pool:
            raise ConfigError("the worker runs in threads: start it without -P, and one process per core")
        parts = services()
        _check_health_file(parts.settings.health_file)
        _wait_for_redis()
        parts.evidence.check()
    except EkycError as error:
        print("\n".join(f"ekyc: {line}" for line in str(error).splitlines()), file=sys.stderr)  # noqa: T201
        raise SystemExit(error.exit_code) from None


def _check_health_file(path: Path | None) -> None:
    if path is not None and not os.access(path.parent, os.W_OK | os.X_OK):
        raise ConfigError(
            f"EKYC_HEALTH_FILE: the folder {path.parent} is not there, or we may not write to it"
        )


def _wait_for_redis() -> None:
    redis = connect(current().redis_url)
    give_up_at = time.monotonic() + WAIT_FOR_REDIS_S
    told = False
    while True:
        try:
            with translated():
                redis.ping()
        except LedgerUnavailable as error:
            if time.monotonic() > give_up_at:
                raise
            if not told:
                print(f"ekyc: {error}; waiting up to {WAIT_FOR_REDIS_S:.0f} s", file=sys.stderr)  # noqa: T201
                told = True
            time.sleep(0.5)
        else:
            redis.close()
            return
