"""The benchmark reads every contender's queue, while others add to it."""

from __future__ import annotations

import base64
import json
import pickle
from typing import TYPE_CHECKING

import pytest

from benchmarks.bench.queues import HashedList, PushedList, Queue, Stream

if TYPE_CHECKING:
    import redis as redis_py


def decision(name: str) -> str:
    return json.dumps({"decision": {"id": "x", "signature_id": name, "region": "ph"}})


def celery(redis: redis_py.Redis, name: str) -> None:
    redis.lpush("q", json.dumps({"body": base64.b64encode(decision(name).encode()).decode()}))


def pickled(redis: redis_py.Redis, name: str) -> None:
    redis.lpush("q", pickle.dumps(("decide", (decision(name),))))


def dramatiq(redis: redis_py.Redis, name: str) -> None:
    redis.hset("q.msgs", f"m-{name}", decision(name))
    redis.rpush("q", f"m-{name}")


def taskiq(redis: redis_py.Redis, name: str) -> None:
    redis.xadd("q", {"data": decision(name)})


@pytest.mark.parametrize(
    ("queue", "add"),
    [
        (PushedList("q", celery=True), celery),
        (PushedList("q"), pickled),
        (HashedList("q"), dramatiq),
        (Stream("q"), taskiq),
    ],
    ids=["celery", "huey", "dramatiq", "taskiq"],
)
def test_what_is_new_on_a_queue_is_read_in_its_order_and_once(
    redis: redis_py.Redis, queue: Queue, add: object
) -> None:
    assert callable(add)
    assert (queue.length(redis), queue.since(redis, 0)) == (0, [])
    for name in ("told-1", "told-2", "told-3"):
        add(redis, name)
    assert queue.length(redis) == 3
    assert queue.since(redis, 0) == ["told-1", "told-2", "told-3"]
    assert queue.since(redis, 2) == ["told-3"]
    assert queue.since(redis, 3) == []
