"""The Celery application and its configuration, for sending processes and for workers."""

from __future__ import annotations

from typing import Any, Final

from celery import Celery
from kombu import Queue

from worker.messaging import decompression, redis_transport
from worker.settings import current
from worker.time_budget import BROKER_CALL_S, BROKER_RESTORE_S, BROKER_VISIBILITY_S

#: Batches that one process works on at a time. A pool thread waits for each; its calls run on the event loop of
#: `worker.runtime.services`, and the dispatcher claims nothing while all places for calls are in use.
CONCURRENCY: Final = 64


def configuration() -> dict[str, Any]:
    """Return Celery's settings. Raises ``ConfigError``."""
    settings = current()
    return {
        "broker_url": settings.broker_url,
        "broker_use_ssl": redis_transport.tls(settings.broker_url),
        "broker_connection_retry_on_startup": True,
        # No limit: a worker that has exited would not return when Redis recovers.
        "broker_connection_max_retries": None,
        # Also for a Redis that refuses commands: a replica after a failover, or one with a full disk.
        "broker_channel_error_retry": True,
        "broker_transport_options": {
            "visibility_timeout": BROKER_VISIBILITY_S,
            "unacked_restore_interval": BROKER_RESTORE_S,
            "unacked_restore_throttle": 1,
            "socket_keepalive": True,
            "socket_timeout": BROKER_CALL_S,
            "socket_connect_timeout": BROKER_CALL_S,
            "health_check_interval": 30,
            "read_timeout": BROKER_CALL_S,
            "write_timeout": BROKER_CALL_S,
        },
        # The ledger has the result of each verification.
        "result_backend": None,
        "task_ignore_result": True,
        # JSON only: a message from a queue cannot contain code.
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
        # On RabbitMQ, pool threads and the main thread deadlock when Celery restores a reduced count.
        "worker_enable_prefetch_count_reduction": False,
        "worker_consumer": "worker.runtime.consumer:Consumer",
        "worker_hijack_root_logger": False,
        # For Flower.
        "worker_send_task_events": True,
    }


def make_app() -> Celery:
    """Return an application that can send. A worker's application has more: see ``worker.runtime.app``."""
    redis_transport.install()
    decompression.install()
    app = Celery("ekyc", task_cls="worker.messaging.redaction:Task")
    app.add_defaults(configuration)
    return app
