"""Delivery of decisions to the pipeline, as Celery tasks `onboarding.<decision>` on the queue `onboarding`."""

from __future__ import annotations

import json
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import structlog
from kombu import Queue
from kombu.pools import producers

from schemas.decision import dump_decision
from worker.errors import BrokerUnavailable
from worker.messaging import queues
from worker.messaging.publish import BROKEN
from worker.settings import DECISION_QUEUE
from worker.signatures import task_body

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from celery import Celery
    from kombu import Producer
    from kombu.message import Message

    from schemas.decision import Decision
    from worker.signatures import Signer

#: An object, not a name: Celery would add a name to its list of queues.
QUEUE: Final = Queue(DECISION_QUEUE)

#: The brokers on which this process has declared the queue, without their passwords.
_used_brokers: Final[set[str]] = set()

#: What it means that the queue is gone, and what an operator does.
_LOST: Final = "what lay in it is lost; ekyc redeliver --since sends those decisions again"

_log = structlog.get_logger(__name__)

#: One encoder for all decisions: `json.dumps` would make one for each.
_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

#: The properties that a forwarded message keeps. Not `expiration`: no decision may expire.
_KEPT: Final = (
    "correlation_id",
    "reply_to",
    "priority",
    "delivery_mode",
    "message_id",
    "timestamp",
    "type",
    "app_id",
)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A decision as the ledger fixes it and the broker delivers it. `text` is its JSON, which never changes."""

    id: str
    name: str
    text: str = field(repr=False)
    #: The headers that sign it for its task, if it is signed.
    headers: dict[str, str] | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, decision: Decision) -> Outgoing:
        return cls(decision.id, decision.decision, _encode(dump_decision(decision)))

    def signature(self, task: str, signer: Signer) -> dict[str, str]:
        """Return the headers that sign it for a task. They depend on the decision and the keys, not on the time."""
        payload = json.loads(self.text)
        decided_at = datetime.fromisoformat(payload["decided_at"])
        return signer.headers(self.id, int(decided_at.timestamp()), task_body(task, payload))


def task_name(decision: str) -> str:
    """The name of the Celery task that receives a decision."""
    return f"{DECISION_QUEUE}.{decision}"


def deliver(app: Celery, decisions: Sequence[Outgoing], signer: Signer | None = None) -> None:
    """Put decisions on the pipeline's queue, in one batch if the broker supports it. Messages have the decisions' ids.

    Signatures are in their headers: see ``worker.client.verify``. `signer`: signs those that are not signed yet.

    Raises ``BrokerUnavailable``. Some decisions may be delivered then; the next attempt sends the same bytes.
    """
    with _pipelines_queue(app) as (producer, options), producer.batch(len(decisions)):
        for outgoing in decisions:
            _send(app, outgoing, producer, options, signer)


def send_on(app: Celery, message: Message) -> None:
    """Forward a message of another queue to the pipeline's queue, unchanged. Raises ``BrokerUnavailable``."""
    properties: dict[str, Any] = {name: value for name, value in message.properties.items() if name in _KEPT}
    with _pipelines_queue(app) as (producer, options):
        producer.publish(
            message.body,
            exchange="",
            routing_key=DECISION_QUEUE,
            content_type=message.content_type,
            content_encoding=message.content_encoding,
            headers=message.headers,
            **properties,
            **options,
        )


@contextmanager
def _pipelines_queue(app: Celery) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Yield a producer with publisher confirms, after declaring the queue, and the options for each message.

    Redis confirms every command. RabbitMQ needs a connection with confirms, which is separate: on a shared connection
    task events would wait for confirms, too. RabbitMQ also confirms messages that it drops because there is no queue,
    unless they are `mandatory`.
    """
    amqp = urlsplit(app.conf.broker_url).scheme.endswith(("amqp", "amqps"))
    if amqp:
        confirming = app.connection_for_write(transport_options={"confirm_publish": True})
        acquired = producers[confirming].acquire(block=True)
    else:
        acquired = app.producer_or_acquire()
    try:
        with acquired as producer:
            try:
                _ensure(producer)
                yield producer, {"mandatory": True} if amqp else {}
            except BROKEN:
                if amqp:
                    # A late confirm would count for the next message.
                    with suppress(Exception):
                        producer.connection.collect()
                raise
    except BROKEN as error:
        raise BrokerUnavailable(
            f"the queue {DECISION_QUEUE} cannot be written: {queues.explained(error)}", queues.why(error)
        ) from None


def _ensure(producer: Producer) -> None:
    """Declare the queue once for each connection: a declaration takes a third of the time of a send.

    A queue that this process has used before and that is gone took along what lay in it: that is logged.
    """
    channel: Any = producer.channel
    client = channel.connection.client
    if DECISION_QUEUE in client.declared_entities:
        return
    broker = client.as_uri()
    if broker in _used_brokers and queues.is_gone(QUEUE, channel):
        _log.error("decision_queue_gone", queue=DECISION_QUEUE, why=_LOST)
        # Once, also if it cannot be declared again.
        _used_brokers.discard(broker)
    queues.ensure(QUEUE, channel)
    client.declared_entities.add(DECISION_QUEUE)
    _used_brokers.add(broker)


def _send(
    app: Celery, outgoing: Outgoing, producer: Producer, options: dict[str, Any], signer: Signer | None
) -> None:
    """Publish one decision. `Celery.send_task` ends in the same two calls, after twice as much work of its own."""
    amqp: Any = app.amqp
    task = task_name(outgoing.name)
    message = amqp.create_task_message(
        outgoing.id,
        task,
        kwargs={"decision": json.loads(outgoing.text)},
        ignore_result=True,
        # Flower shows the id, not the pipeline's context.
        argsrepr=f"decision {outgoing.id}",
        kwargsrepr="",
        **_origin(app),
    )
    headers = outgoing.headers or (outgoing.signature(task, signer) if signer else None)
    # By default Celery would declare the queue with its earlier arguments.
    amqp.send_task_message(producer, task, message, headers=headers, queue=QUEUE, declare=[], **options)


def _origin(app: Celery) -> dict[str, str]:
    """Return where a message comes from, as `Celery.send_task` says it: this thread, and the task that it runs."""
    celery: Any = app
    task = celery.current_worker_task
    if task is None:
        return {"reply_to": celery.thread_oid}
    request = task.request
    return {
        "reply_to": celery.thread_oid,
        "root_id": request.root_id or request.id,
        "parent_id": request.id,
    }
