"""The way in for pipelines that speak Celery: `app.send_task("tasks.enqueue", kwargs={…})`."""

from __future__ import annotations

from typing import Any

from worker import client
from worker.app import app
from worker.errors import InvalidInput, LedgerUnavailable


@app.task(
    name="tasks.enqueue",
    # What a sender got wrong is one line, not a traceback.
    throws=(InvalidInput,),
    Request="worker.discreet:Discreet",
    # The message is all there is until the ledger has it: it is acknowledged when it does.
    acks_late=True,
    reject_on_worker_lost=True,
    autoretry_for=(LedgerUnavailable,),
    max_retries=None,
    retry_backoff=True,
    retry_backoff_max=30,
)
def enqueue(
    signature_id: Any = None, region: Any = None, context: Any = None, *surplus: Any, **unknown: Any
) -> None:
    """Accept a verification. Doing it twice changes nothing; what cannot be accepted fails, and Flower shows why."""
    if surplus or unknown:
        raise InvalidInput("takes signature_id, region and context, and nothing else")
    client.enqueue(signature_id, region, context)
