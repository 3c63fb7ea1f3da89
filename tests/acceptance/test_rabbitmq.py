"""The core of the promises with RabbitMQ as the broker, where Debian's package is installed."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from celery import Celery

from schemas.enqueue import EnqueueRequest
from tests.acceptance.fleet import until
from tests.acceptance.rabbitmq import installed, rabbitmq

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.acceptance.fleet import Fleet

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(not installed(), reason="RabbitMQ is not installed (Debian: rabbitmq-server)"),
]


@pytest.fixture
def broker(fleet: Fleet) -> Iterator[str]:
    with rabbitmq(fleet.folder) as url:
        fleet.environment["CELERY_BROKER_URL"] = fleet.broker_url = url
        yield url


def test_a_killed_worker_and_an_enqueue_by_name_lose_nobody(fleet: Fleet, broker: str) -> None:
    """Enqueued by Celery name while workers are killed: on RabbitMQ the message itself survives, and so do we."""
    pipeline = Celery("pipeline", broker=broker)
    first = fleet.worker("w1")
    names = [f"pass-latency1s-{number}" for number in range(60)]
    for name in names:
        pipeline.send_task("tasks.enqueue", kwargs={"signature_id": name, "region": "ph", "context": None})
    until(lambda: fleet.census().counts("ph").in_flight, "work is under way")
    os.killpg(first.pid, signal.SIGKILL)
    fleet.worker("w2")
    fleet.await_done(60)
    delivered = fleet.delivered()
    assert sorted({message["decision"]["signature_id"] for message in delivered}) == sorted(names)
    assert len({message["id"] for message in delivered}) == 60


def test_the_dispatcher_sees_rabbitmqs_queue(fleet: Fleet, broker: str) -> None:
    """Claims are made while nobody waits in the queue, whichever broker has the queue."""
    assert broker
    fleet.worker("w1")
    fleet.ledger().enqueue([EnqueueRequest(f"pass-{number}", "ph") for number in range(300)])
    fleet.await_done(300)
    assert len(fleet.delivered()) == 300
    assert "dispatcher_failed" not in fleet.log("w1")
