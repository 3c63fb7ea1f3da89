"""dramatiq, as its documentation teaches: `Retry(delay=…)` for a null, a pipeline for what follows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import CurrentMessage

from benchmarks.peers import job, vendor

if TYPE_CHECKING:
    from collections.abc import Iterable

broker = RedisBroker(url=job.POOL_URL)
broker.add_middleware(CurrentMessage())
dramatiq.set_broker(broker)


@dramatiq.actor(max_retries=None)
def get_result(signature_id: str) -> None:
    answer = vendor.get_result(signature_id)
    data = job.result(answer.json())
    if data is None:
        raise dramatiq.Retry(delay=round(job.COUNTDOWN_S * 1000))
    job.keep(signature_id, "answer.json", answer.content)
    message = CurrentMessage.get_current_message()
    polls = message.options.get("retries", 0) + 1 if message else 1
    (archive_images.message(signature_id, data) | route_decision.message(signature_id, polls)).run()


@dramatiq.actor
def archive_images(signature_id: str, data: dict[str, Any]) -> dict[str, Any]:
    for side, url in job.links(data).items():
        job.keep(signature_id, f"{side}.jpg", vendor.image(url))
    return data


@dramatiq.actor
def route_decision(signature_id: str, polls: int, data: dict[str, Any]) -> None:
    decided = job.decision(signature_id, data, polls)
    broker.enqueue(
        dramatiq.Message(
            queue_name="onboarding",
            actor_name=decided["decision"],
            args=(),
            kwargs={"decision": decided},
            options={},
        )
    )


def enqueue(signature_ids: Iterable[str]) -> None:
    for signature_id in signature_ids:
        get_result.send(signature_id)
