"""Sends deliveries by webhook. It runs on a thread of Celery's pool; `Sender.send` runs on the event loop."""

from __future__ import annotations

from worker.ledger.webhooks import DeliveryBatch
from worker.runtime.app import app
from worker.runtime.delivery_runner import DeliveryRunner
from worker.runtime.services import services


@app.task(name="tasks.deliver")
def deliver(region: str, endpoint: str, batch_id: str, delivery_ids: list[str]) -> None:
    """Send each delivery of a batch once, all of one endpoint. What is not acknowledged gets a countdown."""
    DeliveryRunner(services(), DeliveryBatch(batch_id, region, endpoint, tuple(delivery_ids))).run()
