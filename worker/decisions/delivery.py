"""How a decision reaches the pipeline: as the Celery task `onboarding.<decision>` on the queue `onboarding`."""

from __future__ import annotations

import json
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from kombu import Queue
from kombu.pools import producers

from schemas.decision import dump_decision
from worker.errors import BrokerUnavailable
from worker.messaging import queues
from worker.messaging.publish import BROKEN
from worker.settings import DECISION_QUEUE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from celery import Celery
    from kombu import Producer
    from kombu.message import Message

    from schemas.decision import Decision

#: An object, not a name: Celery keeps a list of the queues that it knows by name.
QUEUE: Final = Queue(DECISION_QUEUE)

#: Properties of a message that it keeps when it is sent on. Without `expiration`: no decision may expire.
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
    """A decision in the form in which it is fixed and delivered: `text` is its JSON, and never changes again."""

    id: str
    name: str
    text: str = field(repr=False)

    @classmethod
    def of(cls, decision: Decision) -> Outgoing:
        text = json.dumps(dump_decision(decision), ensure_ascii=False, separators=(",", ":"))
        return cls(decision.id, decision.decision, text)


def deliver(app: Celery, decisions: Sequence[Outgoing]) -> None:
    """Put decisions on the pipeline's queue, in one go where the broker can. A message's id is its decision's.

    Raises ``BrokerUnavailable``: then some may be there, and the same bytes go there again.
    """
    with _pipelines_queue(app) as (producer, options), producer.batch(len(decisions)):
        for outgoing in decisions:
            _send(app, outgoing, producer, options)


def send_on(app: Celery, message: Message) -> None:
    """Put a message that lies on another queue on the pipeline's, as it is. Raises ``BrokerUnavailable``."""
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
    """A producer whose broker confirms what it has, once the queue is known to exist; and options for each message.

    Redis confirms every command, RabbitMQ only where it is asked to: by a connection of its own, because on a shared
    one task events would wait for the confirmations, too. RabbitMQ also confirms what it throws away for want of a
    queue, unless the message is `mandatory`.
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
                    # A confirmation that is still under way would be taken for that of the next message.
                    with suppress(Exception):
                        producer.connection.collect()
                raise
    except BROKEN as error:
        raise BrokerUnavailable(
            f"the queue {DECISION_QUEUE} cannot be written: {queues.explained(error)}", queues.why(error)
        ) from None


def _ensure(producer: Producer) -> None:
    """Once for each connection: to declare a queue takes a third of what it takes to send."""
    channel: Any = producer.channel
    declared = channel.connection.client.declared_entities
    if DECISION_QUEUE not in declared:
        queues.ensure(QUEUE, channel)
        declared.add(DECISION_QUEUE)


def _send(app: Celery, outgoing: Outgoing, producer: Producer, options: dict[str, Any]) -> None:
    app.send_task(
        f"{DECISION_QUEUE}.{outgoing.name}",
        kwargs={"decision": json.loads(outgoing.text)},
        task_id=outgoing.id,
        queue=QUEUE,  # type: ignore[arg-type]
        # Of its own Celery would declare it with the arguments that it had before.
        declare=[],
        producer=producer,
        ignore_result=True,
        # The context in it is the pipeline's own: Flower shows the id.
        argsrepr=f"decision {outgoing.id}",
        kwargsrepr="",
        **options,
    )
