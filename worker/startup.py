"""What a worker checks before it starts: better one clear line now than a fault for every person later."""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from worker.core_dumps import forbid_core_dumps
from worker.ending import end_with
from worker.errors import ConfigError, EkycError, EvidenceUnavailable
from worker.health_file import HealthFile
from worker.messages import ENQUEUE, TASKS
from worker.nodename import expanded
from worker.patience import await_broker, await_redis, await_room, check_rights
from worker.services import services

if TYPE_CHECKING:
    from celery import Celery

    from worker.services import Services

#: Open files of a worker that was busy in all regions: 512 connections to each of six hosts and to those of images are
#: kept (``transport.adapter.POOL_SIZE``), 256 archives have a few files each, and there are Redis and the like.
FILES: Final = 8192


#: Claimed before the worker takes anything, and kept fresh by its pulse.
health_file: HealthFile | None = None


def check(app: Celery, pool: str, *, name: str) -> None:
    """Pool, settings, decision table, Redis, broker: ends the process with one line on a fault. Then evidence."""
    forbid_core_dumps()
    try:
        if "thread" not in pool:
            raise ConfigError("the worker runs in threads: start it without -P, and one process per core")
        _check_tasks(app)
        parts = services()
        _claim_health_file(parts.settings.health_file, name)
        _allow_files()
        await_redis(parts.settings.redis_url, parts.settings.start_wait_s)
        await_broker(app, parts.settings.start_wait_s)
        await_room(app, parts.settings.start_wait_s)
        check_rights(app, parts.settings)
        _try_evidence(parts)
    except EkycError as error:
        end_with(error)


def _check_tasks(app: Celery) -> None:
    """Every task that a message of ours may name is registered."""
    missing = sorted({*TASKS.values(), ENQUEUE} - set(app.tasks))
    if missing:
        raise ConfigError(
            f"Celery knows no task {', '.join(missing)}: another module than ours was imported as `tasks`; "
            "start the worker in another folder, and check PYTHONPATH"
        )


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
        parts.identity.establish(parts.settings.regions)
    except EvidenceUnavailable as error:
        parts.breaker.trip(error)
        line = f"ekyc: {error}; starting all the same: what needs it is tried again"
        print(line, file=sys.stderr)  # noqa: T201


def _claim_health_file(path: Path | None, name: str) -> None:
    global health_file  # noqa: PLW0603 - one for the process, as the lock it holds
    if path is not None:
        health_file = HealthFile(Path(expanded(str(path), name)))
