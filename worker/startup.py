"""What a worker checks before it starts: better one clear line now than a fault for every person later."""

from __future__ import annotations

import os
import resource
import sys
from typing import TYPE_CHECKING, Final

from worker.ending import end_with
from worker.errors import ConfigError, EkycError, EvidenceUnavailable
from worker.patience import await_broker, await_redis, await_room
from worker.services import services

if TYPE_CHECKING:
    from pathlib import Path

    from celery import Celery

    from worker.services import Services

#: Open files of a worker that was busy in all regions: 512 connections to each of six hosts and to those of images are
#: kept (``transport.adapter.POOL_SIZE``), 256 archives have a few files each, and there are Redis and the like.
FILES: Final = 8192


def check(app: Celery, pool: str) -> None:
    """Pool, settings, decision table, Redis, broker: ends the process with one line on a fault. Then evidence."""
    try:
        if "thread" not in pool:
            raise ConfigError("the worker runs in threads: start it without -P, and one process per core")
        parts = services()
        _check_health_file(parts.settings.health_file)
        _allow_files()
        await_redis(parts.settings.redis_url, parts.settings.start_wait_s)
        await_broker(app, parts.settings.start_wait_s)
        await_room(app, parts.settings.start_wait_s)
        _try_evidence(parts)
    except EkycError as error:
        end_with(error)


def _allow_files() -> None:
    """As many open files as the system lets us have, up to what we need under load: shells often allow 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= FILES:
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(FILES, hard), hard))
    if hard < FILES:
        line = f"ekyc: no more than {hard} files may be open here, and under load {FILES} are; raise the hard limit"
        print(line, file=sys.stderr)  # noqa: T201


def _try_evidence(parts: Services) -> None:
    """Say that evidence cannot be kept now: the worker waits for the store, and proves it before the first use.

    Raises ``EvidenceUnsuitable``.
    """
    try:
        parts.evidence.check()
    except EvidenceUnavailable as error:
        parts.breaker.trip(error)
        line = f"ekyc: {error}; starting all the same: what needs it is tried again"
        print(line, file=sys.stderr)  # noqa: T201


def _check_health_file(path: Path | None) -> None:
    if path is not None and not os.access(path.parent, os.W_OK | os.X_OK):
        raise ConfigError(
            f"EKYC_HEALTH_FILE: the folder {path.parent} is not there, or we may not write to it"
        )
