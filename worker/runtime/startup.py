"""What a worker checks before it starts: better one clear line now than a fault for every person later."""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from worker.errors import ConfigError, EkycError, EvidenceUnavailable
from worker.messaging import queues
from worker.messaging.publish import BROKEN, ENQUEUE, TASKS, unavailable
from worker.process import await_part, exit_with_error, forbid_core_dumps
from worker.runtime.dependencies import BROKER_TIMEOUT_S, await_broker, await_redis, await_room, check_rights
from worker.runtime.health_file import HealthFile
from worker.runtime.node_name import expanded
from worker.runtime.services import services
from worker.settings import DECISION_QUEUE, is_decision_queue, unknown_names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from celery import Celery

    from worker.runtime.services import Services

#: Open files of a worker that was busy in all regions: 512 connections to each of six hosts and to those of images are
#: kept (``transport.adapter.POOL_SIZE``), 256 archives have a few files each, and there are Redis and the like.
FILES: Final = 8192


#: Claimed before the worker takes anything, and kept fresh by its heartbeat.
health_file: HealthFile | None = None


def check(app: Celery, pool: str, *, name: str, consumed: Iterable[str] = ()) -> None:
    """Pool, settings, decision table, Redis, broker: ends the process with one line on a fault. Then evidence.

    `consumed`: the queues that the command line names.
    """
    forbid_core_dumps()
    try:
        if "thread" not in pool:
            raise ConfigError("the worker runs in threads: start it without -P, and one process per core")
        _check_tasks(app)
        refuse_decision_queue(consumed)
        parts = services()
        for line in unknown_names():
            print(f"ekyc: warning: {line}", file=sys.stderr)  # noqa: T201
        _claim_health_file(parts.settings.health_file, name)
        _allow_files()
        await_redis(parts.settings.redis_url, parts.settings.start_wait_s)
        await_broker(app, parts.settings.start_wait_s)
        await_room(app, parts.settings.start_wait_s)
        check_rights(app, parts.settings)
        await_part(lambda: _use_queue(app, parts.settings.queue), parts.settings.start_wait_s)
        _try_evidence(parts)
    except EkycError as error:
        exit_with_error(error)


def _check_tasks(app: Celery) -> None:
    """Every task that a message of ours may name is registered."""
    missing = sorted({*TASKS.values(), ENQUEUE} - set(app.tasks))
    if missing:
        raise ConfigError(
            f"Celery knows no task {', '.join(missing)}: another module than ours was imported as `tasks`; "
            "start the worker in another folder, and check PYTHONPATH"
        )


def refuse_decision_queue(names: Iterable[str]) -> None:
    """Raises ``ConfigError`` where the queue of decisions is among the queues that a worker is to consume."""
    if any(is_decision_queue(name) for name in names):
        raise ConfigError(
            f"a worker of ours must not consume the queue {DECISION_QUEUE}, where the pipeline's decisions wait: "
            "take it out of -Q and of task_queues"
        )


def check_consumed(app: Celery) -> None:
    """Ends the process where a configuration module has it consume the queue of decisions."""
    try:
        refuse_decision_queue(queue.name for queue in app.amqp.queues.consume_from.values())
    except ConfigError as error:
        exit_with_error(error)


def _use_queue(app: Celery, name: str) -> None:
    """Raises ``BrokerUnavailable`` where our own queue can be neither declared nor used as it is."""
    try:
        with app.connection_for_write(connect_timeout=BROKER_TIMEOUT_S) as connection:
            channel = connection.default_channel
            queues.ensure(app.amqp.queues[name], channel)
            queues.size(channel, name)
        if (app.amqp.queues[name].queue_arguments or {}).get("x-queue-type") == "stream":
            raise ConfigError(f"the queue {name} is a stream: set EKYC_QUEUE to the name of another queue")
    except BROKEN as error:
        raise unavailable(name, error) from None


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
        parts.breakers.trip(error)
        line = f"ekyc: {error}; starting all the same: what needs it is tried again"
        print(line, file=sys.stderr)  # noqa: T201


def _claim_health_file(path: Path | None, name: str) -> None:
    global health_file  # noqa: PLW0603 - one for the process, as the lock it holds
    if path is not None:
        health_file = HealthFile(Path(expanded(str(path), name)))
