"""The checks of a worker before it starts: one clear line now is better than a fault for every verification later."""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from worker.decisions.table import Source, Table
from worker.errors import ConfigError, EkycError, EvidenceUnavailable
from worker.evidence import exposure
from worker.messaging import queues
from worker.messaging.publish import BROKEN, DELIVER, ENQUEUE, TASKS, unavailable
from worker.process import await_part, exit_with_error, forbid_core_dumps
from worker.runtime.dependencies import BROKER_TIMEOUT_S, await_broker, await_redis, await_room, check_rights
from worker.runtime.health_file import HealthFile
from worker.runtime.node_name import expanded
from worker.runtime.services import services
from worker.settings import DECISION_QUEUE, is_decision_queue, unread_names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from celery import Celery

    from worker.runtime.services import Services
    from worker.settings import Settings

#: Open files of a worker that is busy in all regions: up to 512 kept connections to each of six hosts and to the hosts
#: of images (``http_client.engine.MAX_CONNECTIONS``), a few files for each of 256 archives, and Redis and the like.
FILES: Final = 8192


#: Claimed before the worker takes any message; the heartbeat updates it.
health_file: HealthFile | None = None


def check(app: Celery, pool: str, *, name: str, consumed: Iterable[str] = ()) -> None:
    """Check pool, settings, decision table, Redis, broker and evidence. On a fault, end the process with one line.

    An evidence store that is unavailable is no fault. `consumed`: the queues that the command line names.
    """
    forbid_core_dumps()
    try:
        if "thread" not in pool:
            raise ConfigError("a worker needs the threads pool: start it without -P, one process per core")
        _check_tasks(app)
        refuse_decision_queue(consumed)
        parts = services()
        for line in unread_names():
            print(f"ekyc: warning: {line}", file=sys.stderr)  # noqa: T201
        _claim_health_file(parts.settings.health_file, name)
        _allow_files()
        await_redis(parts.settings.redis_url, parts.settings.start_wait_s)
        await_broker(app, parts.settings.start_wait_s)
        await_room(app, parts.settings.start_wait_s)
        check_rights(app, parts.settings)
        await_part(lambda: _use_queue(app, parts.settings.queue), parts.settings.start_wait_s)
        _try_evidence(parts)
        if readable := exposure.warning(parts.settings):
            print(f"ekyc: warning: {readable}", file=sys.stderr)  # noqa: T201
        _warn_without_log(parts.settings)
    except EkycError as error:
        exit_with_error(error)


def _check_tasks(app: Celery) -> None:
    """Raise ``ConfigError`` if a task of ours is not registered."""
    missing = sorted({*TASKS.values(), DELIVER, ENQUEUE} - set(app.tasks))
    if missing:
        raise ConfigError(
            f"Celery has no task {', '.join(missing)}: a foreign module was imported as `tasks`; "
            "start the worker in another folder, and check PYTHONPATH"
        )


def refuse_decision_queue(names: Iterable[str]) -> None:
    """Raise ``ConfigError`` if the queue of decisions is among the queues that a worker would consume."""
    if any(is_decision_queue(name) for name in names):
        raise ConfigError(
            f"a worker must not consume the queue {DECISION_QUEUE}, where the pipeline's decisions wait: "
            "remove it from -Q and from task_queues"
        )


def check_consumed(app: Celery) -> None:
    """End the process if a configuration module makes it consume the queue of decisions."""
    try:
        refuse_decision_queue(queue.name for queue in app.amqp.queues.consume_from.values())
    except ConfigError as error:
        exit_with_error(error)


def _use_queue(app: Celery, name: str) -> None:
    """Declare our queue or use it as it is. Raises ``BrokerUnavailable`` if neither is possible."""
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
    """Raise the limit of open files as far as allowed, up to `FILES`: shells often allow only 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= FILES:
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(FILES, hard), hard))
    if hard < FILES:
        line = (
            f"ekyc: the hard limit of open files is {hard}, and a worker under load needs {FILES}; raise it"
        )
        print(line, file=sys.stderr)  # noqa: T201


def _try_evidence(parts: Services) -> None:
    """Check the evidence store. If it is unavailable, print a line: the worker checks it again before its first use.

    Raises ``EvidenceUnsuitable``.
    """
    try:
        # Before the check, which creates a missing folder.
        parts.identity.check_store(parts.settings.regions)
        parts.evidence.check()
        parts.identity.establish(parts.settings.regions)
        _keep_table(parts)
    except EvidenceUnavailable as error:
        parts.breakers.trip(error)
        line = f"ekyc: {error}; starting anyway: what needs the store is retried"
        print(line, file=sys.stderr)  # noqa: T201


def _keep_table(parts: Services) -> None:
    """Store the text of the decision table with the evidence of what it decides."""
    source = Source.read(parts.settings.decisions_file)
    # Not if the file was changed after the table in use was read.
    table = source.table()
    if isinstance(table, Table) and table.version == parts.table.version:
        parts.evidence.keep_table(table.version, source.text)


def _warn_without_log(settings: Settings) -> None:
    if not settings.log_key:
        line = (
            "ekyc: warning: EKYC_LOG_KEY is not set: no log of evidence is kept, so a change by people who can write "
            "the store does not show; see docs/evidence-log.md"
        )
        print(line, file=sys.stderr)  # noqa: T201


def _claim_health_file(path: Path | None, name: str) -> None:
    global health_file  # noqa: PLW0603 - one per process, like the lock it holds
    if path is not None:
        health_file = HealthFile(Path(expanded(str(path), name)))
