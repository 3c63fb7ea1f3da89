"""Celery's consumer with our dispatcher, and without two parts that a large fleet pays for and we do not use."""

from __future__ import annotations

from typing import Any

from celery.worker import consumer

_CELERYS = consumer.Consumer.Blueprint

#: Without mingle a worker starts a second sooner; without gossip it does not read every heartbeat of every other one.
_WITHOUT = {"without_mingle": True, "without_gossip": True}


class Consumer(consumer.Consumer):
    """What `worker_consumer` names."""

    class Blueprint(_CELERYS):  # type: ignore[misc, valid-type]
        default_steps = (*_CELERYS.default_steps, "worker.dispatcher:Dispatcher")

    def __init__(self, *args: Any, **options: Any) -> None:
        options["worker_options"] = (options.get("worker_options") or {}) | _WITHOUT
        super().__init__(*args, **options)
