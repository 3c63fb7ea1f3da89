"""Task events, which Flower lives on: each of them arrives, and a busy worker sends many in one message."""

from __future__ import annotations

import base64
import json
import signal
import time
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery

from tests.support.waiting import PATIENCE_S, until
from worker.runtime.consumer import EVENTS_EVERY_S

if TYPE_CHECKING:
    from redis import Redis
    from redis.client import PubSub

    from tests.acceptance.fleet import Fleet

pytestmark = pytest.mark.timeout(120)

#: Events that Celery's dispatcher keeps before it sends them whatever the time.
MOST_KEPT = 24

#: Where a test sends a message of its own. What was published before it arrives before it.
LAST = "celeryev of the test"


def read(redis: Redis, channel: PubSub) -> list[list[dict[str, Any]]]:
    """The task events of each message that was published until now."""
    messages: list[list[dict[str, Any]]] = []
    redis.publish(LAST, "")
    while True:
        message = channel.get_message(timeout=PATIENCE_S)
        assert message is not None
        if message["type"] != "pmessage":
            continue
        if message["channel"] == LAST.encode():
            return messages
        body = json.loads(base64.b64decode(json.loads(message["data"])["body"]))
        if isinstance(body, list):
            messages.append(body)


def test_each_event_arrives_and_many_share_a_message(fleet: Fleet) -> None:
    """Also the last ones of a worker that is stopped as soon as its work is done."""
    worker = fleet.worker()
    pipeline = Celery("pipeline", broker=fleet.redis_url)
    with fleet.redis() as redis, redis.pubsub() as channel:  # type: ignore[no-untyped-call]
        channel.psubscribe("*celeryev*")
        began_at = time.monotonic()
        for number in range(60):
            pipeline.send_task("tasks.enqueue", kwargs={"signature_id": f"pass-{number}", "region": "ph"})
        fleet.await_done(60)
        worker.send_signal(signal.SIGTERM)
        until(lambda: worker.poll() is not None, "the worker ends")
        took_s = time.monotonic() - began_at
        messages = read(redis, channel)

    kinds: dict[str, list[str]] = defaultdict(list)
    for message in messages:
        for event in message:
            kinds[event["uuid"]].append(event["type"])
    assert len(kinds) > 60
    assert {tuple(sorted(each)) for each in kinds.values()} == {
        ("task-received", "task-started", "task-succeeded")
    }
    events = sum(map(len, messages))
    assert len(messages) <= took_s / EVENTS_EVERY_S + events / MOST_KEPT + 2


def test_an_event_after_a_pause_is_sent_at_once_and_the_next_ones_follow(fleet: Fleet) -> None:
    fleet.worker()
    pipeline = Celery("pipeline", broker=fleet.redis_url)
    seen: set[tuple[str, str]] = set()
    with fleet.redis() as redis, redis.pubsub() as channel:  # type: ignore[no-untyped-call]
        channel.psubscribe("*celeryev*")

        def arrived(signature_id: str, kind: str) -> bool:
            for message in read(redis, channel):
                seen.update((event["type"], event["uuid"]) for event in message)
            return (kind, signature_id) in seen

        for number in range(3):
            name = f"pass-{number}"
            sent = pipeline.send_task("tasks.enqueue", kwargs={"signature_id": name, "region": "ph"})
            until(partial(arrived, sent.id, "task-succeeded"), f"the last event of {name}")
