"""The entry point for pipelines that use Celery: `app.send_task("tasks.enqueue", kwargs={…})`."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import structlog
from celery.exceptions import Reject

from schemas.enqueue import load_enqueue
from schemas.errors import SchemaError
from worker import client
from worker.errors import InvalidInput, LedgerUnavailable
from worker.messaging.redaction import sender
from worker.runtime.app import app
from worker.runtime.services import services
from worker.time_budget import ENQUEUE_TRIED_FOR_S

if TYPE_CHECKING:
    from celery import Task

    from worker.enqueue_request import EnqueueRequest

#: The fields that a refusal can name, and the word for anything else.
FIELDS: Final = ("signature_id", "region", "context", "pipeline")
OTHER: Final = "arguments"

#: Seconds between two tries of one message.
PAUSE_S: Final = 2.0


_log = structlog.get_logger(__name__)


@app.task(
    name="tasks.enqueue",
    bind=True,
    # An error of the sender is logged as one line, not a traceback.
    throws=(InvalidInput,),
    Request="worker.messaging.redaction:Discreet",
    # Acknowledged only once the ledger has the request: until then the message is its only copy.
    acks_late=True,
    reject_on_worker_lost=True,
)
def enqueue(
    self: Task[..., None],
    signature_id: Any = None,
    region: Any = None,
    context: Any = None,
    pipeline: Any = None,
    *surplus: Any,
    **unknown: Any,
) -> None:
    """Accept a verification. A repetition changes nothing. An invalid request fails, and Flower shows why."""
    try:
        request = checked(
            {"signature_id": signature_id, "region": region, "context": context, "pipeline": pipeline}
        )
        check_nothing_else(surplus, unknown)
    except InvalidInput as error:
        note_refusal(self.request, error)
        raise
    accept(request)


def checked(message: dict[str, Any]) -> EnqueueRequest:
    """Return the request in a message. Raises ``InvalidInput``."""
    try:
        return client.polled(load_enqueue(message))
    except SchemaError as error:
        raise InvalidInput(str(error)) from None


def check_nothing_else(surplus: tuple[Any, ...], unknown: dict[str, Any]) -> None:
    """Raise ``InvalidInput`` for arguments that `tasks.enqueue` does not have."""
    if surplus or unknown:
        raise InvalidInput("takes signature_id, region, context and pipeline, and nothing else")


def accept(request: EnqueueRequest) -> None:
    """Put a request into the ledger; retry while it is unavailable. Raises ``Reject`` to return the message."""
    give_back_at = time.monotonic() + ENQUEUE_TRIED_FOR_S
    while True:
        try:
            client.enqueue_many([request])
        except LedgerUnavailable as error:
            services().dependency_log.unavailable(error)
            # Not by Celery's retry, a new message: a Redis out of memory refuses it, and Celery then drops the old one.
            if time.monotonic() > give_back_at or services().stopping.wait(PAUSE_S):
                raise Reject("the ledger cannot be used", requeue=True) from None
        else:
            services().dependency_log.recovered()
            return


def note_refusal(request: Any, error: InvalidInput) -> None:
    """Log and count a refused message. Its sender gets no other notice of it."""
    field, _, problem = str(error).partition(": ")
    if field not in FIELDS:
        field, problem = OTHER, str(error)
    _log.warning(
        "enqueue_refused",
        field=field,
        why=problem,
        id=request.id,
        origin=sender(getattr(request, "origin", None)),
    )
    with suppress(LedgerUnavailable):
        services().ledger.count_refusal(field)
