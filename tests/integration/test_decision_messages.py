"""The message of a decision is the one that Celery's `send_task` makes, inside a task and outside."""

from __future__ import annotations

import base64
import json
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery, _state

from worker.decisions.delivery import QUEUE, Outgoing, deliver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from redis import Redis

#: As JSON on the wire: no space, and letters as they are.
TEXT = '{"id":"0f2daabc","name":"Núñez","context":{"a":[1,null]}}'
OUTGOING = Outgoing("0f2daabc-6507-57c6-8fbb-9cee9b28b184", "approve", TEXT)

#: The properties that do not count: kombu's tag of each message, and the copies of two headers that `send_task` adds.
NOT_COMPARED = ("delivery_tag", "argsrepr", "kwargsrepr")


def _nothing() -> None: ...


@contextmanager
def running(app: Celery, **request: str | None) -> Iterator[None]:
    """Run the block inside a task of `app`."""
    task = app.task(name="tasks.any")(_nothing)
    task.push_request(called_directly=False, **request)
    stack: Any = getattr(_state, "_task_stack")  # noqa: B009 - its stubs are incomplete
    stack.push(task)
    try:
        yield
    finally:
        stack.pop()
        task.pop_request()


def sent(redis: Redis) -> dict[str, Any]:
    """The only message on the queue, without `NOT_COMPARED`."""
    (raw,) = redis.lrange("onboarding", 0, -1)
    redis.delete("onboarding")
    message: dict[str, Any] = json.loads(raw)
    message["body"] = json.loads(base64.b64decode(message["body"]))
    for name in NOT_COMPARED:
        message["properties"].pop(name, None)
    return message


@pytest.mark.parametrize(
    "request_",
    [None, {"id": "batch-1", "root_id": "first-1"}, {"id": "batch-2", "root_id": None}],
    ids=["outside", "in a chain", "alone"],
)
def test_a_delivered_decision_is_the_message_of_send_task(
    redis: Redis, redis_url: str, request_: dict[str, str | None] | None
) -> None:
    with Celery("fleet", broker=redis_url, set_as_current=False) as app:
        where: AbstractContextManager[None] = running(app, **request_) if request_ else nullcontext()
        with where:
            deliver(app, [OUTGOING])
            ours = sent(redis)
            app.send_task(
                "onboarding.approve",
                kwargs={"decision": json.loads(TEXT)},
                task_id=OUTGOING.id,
                queue=QUEUE,  # type: ignore[arg-type]
                ignore_result=True,
                argsrepr=f"decision {OUTGOING.id}",
                kwargsrepr="",
            )
            celerys = sent(redis)

    assert ours == celerys
    assert ours["body"][1] == {"decision": json.loads(TEXT)}
    assert ours["headers"]["parent_id"] == (request_["id"] if request_ else None)
