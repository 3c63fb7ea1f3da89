"""Plain Celery, as its documentation teaches: `self.retry(countdown=…)` for a null, a chain for what follows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery import Celery, Task, chain
from kombu import Queue

from benchmarks.peers import job, vendor

if TYPE_CHECKING:
    from collections.abc import Iterable

app = Celery("plain", broker=job.REDIS_URL)
app.conf.update(
    task_ignore_result=True,
    task_serializer="json",
    accept_content=["json"],
    broker_connection_retry_on_startup=True,
    task_queues=[Queue("celery")],
    broker_transport_options={
        # A countdown that is longer is run more than once; the default is an hour.
        "visibility_timeout": 14 * 86_400,
        # More than gevent has hands: redis-py's own limit of 100 breaks the connection, and then tasks run twice.
        "max_connections": 1000,
    },
)


@app.task(bind=True, max_retries=None)
def get_result(self: Task[..., None], signature_id: str) -> None:
    answer = vendor.get_result(signature_id)
    data = job.result(answer.json())
    if data is None:
        raise self.retry(countdown=job.COUNTDOWN_S)
    job.keep(signature_id, "answer.json", answer.content)
    polls = self.request.retries + 1
    chain(archive_images.s(signature_id, data), route_decision.s(signature_id, polls)).delay()


@app.task
def archive_images(signature_id: str, data: dict[str, Any]) -> dict[str, Any]:
    for side, url in job.links(data).items():
        job.keep(signature_id, f"{side}.jpg", vendor.image(url))
    return data


@app.task
def route_decision(data: dict[str, Any], signature_id: str, polls: int) -> None:
    decided = job.decision(signature_id, data, polls)
    app.send_task(f"onboarding.{decided['decision']}", kwargs={"decision": decided}, queue="onboarding")


def enqueue(signature_ids: Iterable[str]) -> None:
    for signature_id in signature_ids:
        get_result.delay(signature_id)
