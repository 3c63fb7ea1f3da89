"""The way in for pipelines that speak Celery: `app.send_task("tasks.enqueue", kwargs={…})`."""

from __future__ import annotations

import time
from typing import Any, Final

from celery.exceptions import Reject

from worker import client
from worker.app import VISIBILITY_TIMEOUT_S, app
from worker.errors import InvalidInput, LedgerUnavailable
from worker.services import services

#: Between two tries of one message, in seconds.
PAUSE_S: Final = 2.0

#: For how long a message is tried before it goes back to its queue, in seconds: before Redis gives it to others, too.
TRIED_FOR_S: Final = VISIBILITY_TIMEOUT_S / 2


@app.task(
    name="tasks.enqueue",
    # What a sender got wrong is one line, not a traceback.
    throws=(InvalidInput,),
    Request="worker.discreet:Discreet",
    # The message is all there is until the ledger has it: it is acknowledged when it does.
    acks_late=True,
    reject_on_worker_lost=True,
)
def enqueue(
    signature_id: Any = None, region: Any = None, context: Any = None, *surplus: Any, **unknown: Any
) -> None:
    """Accept a verification. Doing it twice changes nothing; what cannot be accepted fails, and Flower shows why."""
    if surplus or unknown:
        raise InvalidInput("takes signature_id, region and context, and nothing else")
    give_back_at = time.monotonic() + TRIED_FOR_S
    while True:
        try:
            client.enqueue(signature_id, region, context)
        except LedgerUnavailable as error:
            services().outage.goes_on(error)
            # Not by Celery's retry, a new message: a full Redis refuses that, and Celery then drops the old one.
            if time.monotonic() > give_back_at or services().stopping.wait(PAUSE_S):
                raise Reject("the ledger cannot be used", requeue=True) from None
        else:
            services().outage.is_over()
            return
