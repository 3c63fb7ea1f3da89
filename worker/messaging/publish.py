"""The Celery messages between our own tasks, which are hints with ids, and their display in Flower."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from amqp.exceptions import AMQPError, MessageNacked
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from worker.errors import BrokerUnavailable
from worker.ledger.models import Stage
from worker.messaging import queues

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celery import Celery
    from kombu import Producer

    from worker.ledger.models import Batch
    from worker.ledger.webhooks import DeliveryBatch

#: The task of each stage, by name: Celery finds tasks by name, too.
TASKS: Final = {
    Stage.POLLING: "tasks.get_result",
    Stage.ARCHIVING: "tasks.archive_images",
    Stage.ROUTING: "tasks.route_decision",
}

#: The task that sends deliveries by webhook.
DELIVER: Final = "tasks.deliver"

#: The task with which pipelines enqueue.
ENQUEUE: Final = "tasks.enqueue"


def described(region: str, signature_ids: Sequence[str]) -> dict[str, Any]:
    """Return the options that make a message readable in Flower: `ph · 3 verifications · f302f5d2454a85c2…`."""
    count = len(signature_ids)
    noun = "verification" if count == 1 else "verifications"
    more = "…" if count > 1 else ""
    return {
        "argsrepr": f"{region} · {count} {noun} · {signature_ids[0] if signature_ids else ''}{more}",
        "kwargsrepr": "",
    }


#: The errors of an unavailable broker through Celery and kombu, for Redis and RabbitMQ.
BROKEN: Final = (KombuError, AMQPError, MessageNacked, RedisError, OSError)


def unavailable(queue: str, error: Exception) -> BrokerUnavailable:
    """Return the error for a queue of ours that cannot be used, from one of ``BROKEN``, in the broker's terms."""
    return BrokerUnavailable(
        f"the queue {queue} cannot be used: {queues.explained(error)}; run `ekyc doctor`", queues.why(error)
    )


def send_deliveries(app: Celery, batch: DeliveryBatch, producer: Producer) -> None:
    """Put claimed deliveries on the queue, for any worker with free slots."""
    count = len(batch.delivery_ids)
    app.send_task(
        DELIVER,
        args=(batch.region, batch.endpoint, batch.id, batch.delivery_ids),
        task_id=batch.id,
        producer=producer,
        argsrepr=f"{batch.region} · {count} {'delivery' if count == 1 else 'deliveries'} · {batch.endpoint}",
        kwargsrepr="",
    )


def send(app: Celery, batch: Batch, producer: Producer) -> None:
    """Put a claimed batch on the queue, for any worker with free slots."""
    app.send_task(
        TASKS[batch.stage],
        args=(batch.region, batch.id, batch.signature_ids),
        task_id=batch.id,
        producer=producer,
        **described(batch.region, batch.signature_ids),
    )
