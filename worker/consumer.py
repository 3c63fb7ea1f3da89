"""Celery's consumer with our dispatcher, and without two parts that a large fleet pays for and we do not use."""

from __future__ import annotations

from celery.worker import consumer

_CELERYS = consumer.Consumer.Blueprint


class Consumer(consumer.Consumer):
    """Starts in a second less (no mingle), and does not read every heartbeat of every other worker (no gossip)."""

    class Blueprint(_CELERYS):  # type: ignore[misc, valid-type]
        default_steps = (
            *(step for step in _CELERYS.default_steps if not step.endswith((":Mingle", ":Gossip"))),
            "worker.dispatcher:Dispatcher",
        )
