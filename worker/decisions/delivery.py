"""How a decision reaches the pipeline: as the Celery task `onboarding.<decision>` on the queue `onboarding`."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from kombu import Queue
from kombu.pools import producers

from schemas.decision import dump_decision
from worker.errors import BrokerUnavailable
from worker.messages import BROKEN

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from celery import Celery
    from kombu import Producer

    from schemas.decision import Decision

#: An object, not a name: a worker consumes from every queue that its Celery was told of by name.
QUEUE: Final = Queue("onboarding")


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
    try:
        with _producer(app) as producer, producer.batch(len(decisions)):
            # Once is enough: to look whether a queue was declared takes a third of what it takes to send.
            declare = [QUEUE]
            for outgoing in decisions:
                _send(app, outgoing, producer, declare)
                declare = []
    except BROKEN as error:
        raise BrokerUnavailable(f"the queue {QUEUE.name} cannot be written: {type(error).__name__}") from None


def _producer(app: Celery) -> AbstractContextManager[Any]:
    """One whose broker says what it has: Redis does so for every command, RabbitMQ only where it was asked to.

    By a connection of its own, because on a shared one task events would wait for those answers, too.
    """
    if not urlsplit(app.conf.broker_url).scheme.endswith(("amqp", "amqps")):
        return app.producer_or_acquire()
    confirming = app.connection_for_write(transport_options={"confirm_publish": True})
    producer: AbstractContextManager[Any] = producers[confirming].acquire(block=True)
    return producer


def _send(app: Celery, outgoing: Outgoing, producer: Producer, declare: list[Queue]) -> None:
    app.send_task(
        f"onboarding.{outgoing.name}",
        kwargs={"decision": json.loads(outgoing.text)},
        task_id=outgoing.id,
        queue=QUEUE,  # type: ignore[arg-type]
        declare=declare,
        producer=producer,
        ignore_result=True,
        # The context in it is the pipeline's own: Flower shows the id.
        argsrepr=f"decision {outgoing.id}",
        kwargsrepr="",
    )
