"""huey, as its documentation teaches: `schedule(delay=…)` for a null, `then` for what follows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from huey import RedisHuey

from benchmarks.peers import job, vendor

if TYPE_CHECKING:
    from collections.abc import Iterable

huey = RedisHuey("bench", url=job.POOL_URL, results=False)
pipeline = RedisHuey("onboarding", url=job.POOL_URL, results=False)


@huey.task()
def get_result(signature_id: str, polls: int = 1) -> None:
    answer = vendor.get_result(signature_id)
    data = job.result(answer.json())
    if data is None:
        get_result.schedule((signature_id, polls + 1), delay=job.COUNTDOWN_S)
        return
    job.keep(signature_id, "answer.json", answer.content)
    huey.enqueue(archive_images.s(signature_id, data).then(route_decision, signature_id, polls))


@huey.task()
def archive_images(signature_id: str, data: dict[str, Any]) -> tuple[dict[str, Any]]:
    for side, url in job.links(data).items():
        job.keep(signature_id, f"{side}.jpg", vendor.image(url))
    # In a tuple, or huey would hand its items on as keywords.
    return (data,)


@huey.task()
def route_decision(signature_id: str, polls: int, data: dict[str, Any]) -> None:
    decide(job.dumps(job.decision(signature_id, data, polls)))


@pipeline.task()
def decide(decision: str) -> None:
    """The pipeline's own task: it is put on its queue here, and nobody runs it."""


def enqueue(signature_ids: Iterable[str]) -> None:
    for signature_id in signature_ids:
        get_result(signature_id)
