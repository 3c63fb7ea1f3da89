"""What lies on the queue may be anything: it ends that message, never a worker, and nothing of it is logged."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery
from kombu import Connection

from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.acceptance.fleet import Fleet

pytestmark = [pytest.mark.timeout(120), pytest.mark.every_server]

MARKER = "JuanDelaCruz"


def publish(fleet: Fleet, body: str, **headers: Any) -> None:
    with Connection(fleet.redis_url) as connection, connection.SimpleQueue("celery") as queue:
        queue.producer.publish(
            body,
            routing_key="celery",
            headers={"id": "7d0c", "task": "tasks.enqueue"} | headers,
            content_type="application/json",
            content_encoding="utf-8",
        )


def test_no_message_kills_a_worker_or_is_quoted(fleet: Fleet) -> None:
    """Promise 6, and a message that used to kill every worker that took it."""
    worker = fleet.worker()
    person = {"signature_id": "pass-1", "region": "ph", "context": {"name": MARKER}}
    for body in ("5", "[]", "[[], {}]", "{}", "null", '"' + MARKER + '"', "{" + MARKER):
        publish(fleet, body)
    publish(fleet, json.dumps([[], person, {}]), task="tasks.enqueu")
    publish(fleet, json.dumps([[], person, {}]), eta=MARKER)
    publish(fleet, json.dumps([[], person | {MARKER: 1}, {}]))
    publish(fleet, json.dumps([[{"name": MARKER}, MARKER, MARKER, MARKER], {}, {}]))
    publish(fleet, json.dumps([[], {"signature_id": {"__type__": "datetime", "__value__": MARKER}}, {}]))
    Celery("p", broker=fleet.redis_url).send_task(
        "tasks.enqueue", kwargs={"signature_id": "pass-2", "region": "ph", "context": None}
    )
    fleet.await_done(1)
    with fleet.redis() as redis:
        until(lambda: redis.llen("celery") == 0, "the queue is empty")
    assert worker.poll() is None
    assert "message_refused" in fleet.log("w1")
    assert MARKER not in fleet.log("w1")


def test_inspect_shows_no_context_either(fleet: Fleet) -> None:
    fleet.worker()
    Celery("p", broker=fleet.redis_url).send_task(
        "tasks.enqueue",
        kwargs={"signature_id": "pass-1", "region": "ph", "context": {"name": MARKER}},
        countdown=300,
    )
    scheduled = until(lambda: pending(fleet), "the message is scheduled")
    assert "ph · pass-1" in scheduled
    assert MARKER not in scheduled


def pending(fleet: Fleet) -> str:
    shown = fleet.run("celery", "-A", "worker", "inspect", "scheduled", "--json").stdout
    return json.dumps(json.loads(shown), ensure_ascii=False) if "tasks.enqueue" in shown else ""


def test_at_debug_nothing_of_a_person_is_logged(fleet: Fleet) -> None:
    fleet.start("celery", "-A", "worker", "worker", "-n", "d@test", "-l", "DEBUG", name="d")
    until(lambda: "ready." in fleet.log("d"), "the worker gets ready")
    Celery("p", broker=fleet.redis_url).send_task(
        "tasks.enqueue", kwargs={"signature_id": "pass-1", "region": "ph", "context": {"name": MARKER}}
    )
    fleet.await_done(1)
    assert MARKER not in fleet.log("d")
    assert "SANDBOX PERSON" not in fleet.log("d")
    assert "/images/" not in fleet.log("d")
