"""The Celery application, and the configuration we recommend: `celery -A worker worker` needs no flags."""

from __future__ import annotations

import gc
import logging
import sys
from typing import Any, Final

from celery import Celery
from celery.signals import (
    celeryd_after_setup,
    celeryd_init,
    setup_logging,
    worker_ready,
    worker_shutting_down,
)
from kombu import Queue

from worker import broker, unpacking
from worker.discreet import without_traceback
from worker.settings import current
from worker.telemetry import configure_logging

#: Batches that one process works on at a time. A thread of the pool waits for each; its calls run on the event loop of
#: `worker.services`, and the dispatcher claims nothing while as many calls run there as it takes.
CONCURRENCY: Final = 64

#: When Redis hands out again what a worker took and did not acknowledge, in seconds. Only `tasks.enqueue` acknowledges
#: late, and takes milliseconds; Celery's default of an hour is for tasks that run long.
VISIBILITY_TIMEOUT_S: Final = 60

#: How often a worker looks for such messages, in seconds. Kombu's default is 100.
RESTORE_EVERY_S: Final = 30

#: How long one call of a broker may take, in seconds. Consumers of Redis wait for a message for 1 s at a time; RabbitMQ
#: does not answer while its memory or disk runs short. Without it a worker that is told to stop then would never end.
BROKER_TIMEOUT_S: Final = 5


def configuration() -> dict[str, Any]:
    """Celery's settings. Raises ``ConfigError``."""
    settings = current()
    return {
        "broker_url": settings.broker_url,
        "broker_use_ssl": broker.tls(settings.broker_url),
        "broker_connection_retry_on_startup": True,
        # However long Redis is away: a fleet that has ended by itself would not come back with it.
        "broker_connection_max_retries": None,
        # So it is with one that answers, and refuses: a replica after a failover, a Redis whose disk is full.
        "broker_channel_error_retry": True,
        "broker_transport_options": {
            "visibility_timeout": VISIBILITY_TIMEOUT_S,
            "unacked_restore_interval": RESTORE_EVERY_S,
            "unacked_restore_throttle": 1,
            "socket_keepalive": True,
            "socket_timeout": BROKER_TIMEOUT_S,
            "socket_connect_timeout": BROKER_TIMEOUT_S,
            "health_check_interval": 30,
            "read_timeout": BROKER_TIMEOUT_S,
            "write_timeout": BROKER_TIMEOUT_S,
        },
        # What became of a verification stands in the ledger.
        "result_backend": None,
        "task_ignore_result": True,
        # JSON only: nothing that comes off a queue can be code.
        "accept_content": ["json"],
        "task_serializer": "json",
        "event_serializer": "json",
        "task_queues": [Queue(settings.queue)],
        "task_default_queue": settings.queue,
        "imports": ["tasks"],
        # Waiting for HTTP needs threads, not processes: run one worker process per core.
        "worker_pool": "threads",
        "worker_concurrency": CONCURRENCY,
        "worker_prefetch_multiplier": 1,
        # To restore a reduced count, threads of the pool and the main thread wait for each other on RabbitMQ, for ever.
        "worker_enable_prefetch_count_reduction": False,
        "worker_consumer": "worker.consumer:Consumer",
        "worker_hijack_root_logger": False,
        # For Flower.
        "worker_send_task_events": True,
    }


broker.install()
unpacking.install()

app = Celery("ekyc", task_cls="worker.discreet:Task")
app.add_defaults(configuration)

# The `celery` command loads what plugins bring before it loads us.
if "flower.command" in sys.modules:
    from worker.flower import surround

    surround(app)

if "celery.bin.worker" in sys.modules:
    from celery.bin.worker import worker

    from worker.nodename import name_by_default

    name_by_default(worker)


@setup_logging.connect
def _log_as_json(loglevel: int | str | None = None, **_: Any) -> None:
    configure_logging(loglevel or "INFO")
    logging.getLogger("celery.app.trace").addFilter(without_traceback)


@celeryd_init.connect
def _check_before_start(sender: str, options: dict[str, Any] | None = None, **_: Any) -> None:
    from worker.startup import check  # noqa: PLC0415 - only a worker needs what a worker stands on

    given = options or {}
    pool = str(given.get("pool") or app.conf.worker_pool)
    check(app, pool, name=sender, consumed=_names(given.get("queues")))


@celeryd_after_setup.connect
def _check_queues(**_: Any) -> None:
    from worker.startup import check_consumed  # noqa: PLC0415 - see above

    check_consumed(app)


def _names(queues: Any) -> list[str]:
    """Names of queues, as Celery's options give them: a list, or a text with commas."""
    return queues.split(",") if isinstance(queues, str) else list(queues or ())


@worker_ready.connect
def _freeze_what_is_loaded(**_: Any) -> None:
    """Exclude modules, classes and settings from later garbage collections: they live as long as the process."""
    gc.collect()
    gc.freeze()


@worker_shutting_down.connect
def _begin_nothing_new(**_: Any) -> None:
    from worker.services import services  # noqa: PLC0415 - see above

    services().stopping.set()
