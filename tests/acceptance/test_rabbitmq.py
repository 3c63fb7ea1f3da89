"""The core of the chaos suite with RabbitMQ as the broker, where Debian's package is installed."""

from __future__ import annotations

import os
import signal
import time
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final

import pytest
from celery import Celery
from kombu import Connection, Exchange, Queue

from schemas.decision import decision_id
from schemas.enqueue import EnqueueRequest
from tests.support.rabbitmq import installed
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.acceptance.fleet import Fleet, Process
    from tests.support.rabbitmq import RabbitMQ

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(not installed(), reason="RabbitMQ is not installed (Debian: rabbitmq-server)"),
]

#: How many are enqueued by name, in rounds; in each of them both workers are killed. One in ten has images.
NUMBER: Final = 600
ROUNDS: Final = 3

#: Enqueued while the ledger keeps still: more than two workers take at a time, which is 64 each.
BURST: Final = 150

#: The workers are killed when so many of their calls wait for the ledger.
HELD: Final = 32

#: For how long the ledger may at most be kept from changing.
PAUSE_MS: Final = 60_000

#: Twelve leases: when nothing more was done for so long, nothing more will be, on a busy machine either.
REST_S: Final = 60.0


@pytest.fixture
def broker(fleet: Fleet, rabbitmq: RabbitMQ) -> RabbitMQ:
    """The broker of the fleet."""
    fleet.environment["CELERY_BROKER_URL"] = fleet.broker_url = rabbitmq.url
    return rabbitmq


def test_enqueued_by_name_while_workers_and_the_broker_die_everybody_gets_one_decision(
    fleet: Fleet, broker: RabbitMQ
) -> None:
    """What the broker has confirmed is decided, though workers die with enqueues begun and not yet in the ledger."""
    declare_for_good(broker)
    names = [f"{'noimages' if number % 10 else 'pass'}-{number:05d}" for number in range(NUMBER)]
    to_go = iter(names)
    for number in range(ROUNDS):
        workers = [fleet.worker(f"w{2 * number}"), fleet.worker(f"w{2 * number + 1}")]
        with ledger_paused(fleet):
            enqueue(broker, islice(to_go, BURST))
            until(partial(held, fleet), "the workers have begun what they cannot end")
            kill(*workers)
        if number == 0:
            broker.kill()
            broker.start()
        enqueue(broker, islice(to_go, NUMBER // ROUNDS - BURST))
    enqueue(broker, to_go)
    fleet.worker("last")
    await_rest(fleet)
    delivered = fleet.delivered()
    first = {message["id"]: message for message in delivered}
    lost = [name for name in names if decision_id("ph", name) not in first]
    assert not lost, f"{len(lost)} of {NUMBER}"
    assert len(first) == NUMBER
    assert all(message == first[message["id"]] for message in delivered)


def test_a_broker_that_is_killed_takes_no_delivered_decision_along(fleet: Fleet, broker: RabbitMQ) -> None:
    """A decision counts as delivered when RabbitMQ has said that it has it, on its disk."""
    declare_for_good(broker)
    names = [f"noimages-{number:05d}" for number in range(NUMBER)]
    fleet.ledger().enqueue([EnqueueRequest(name, "ph") for name in names])
    fleet.worker("w0")
    fleet.worker("w1")
    fleet.await_delivered(NUMBER // 5)
    broker.kill()
    broker.start()
    fleet.await_done(NUMBER)
    first = {message["id"] for message in fleet.delivered()}
    lost = [name for name in names if decision_id("ph", name) not in first]
    assert not lost, f"{len(lost)} of {NUMBER}"


def declare_for_good(broker: RabbitMQ) -> None:
    """Declare both queues. RabbitMQ 3.10 can forget those that it declared some seconds before it is killed."""
    with Connection(broker.url) as connection:
        for name in ("celery", "onboarding"):
            Queue(name, Exchange(name), routing_key=name).bind(connection.default_channel).declare()
    broker.restart()


def kill(*workers: Process) -> None:
    for worker in workers:
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()


def enqueue(broker: RabbitMQ, names: Iterable[str]) -> None:
    """Returns once the broker has confirmed all of them: from then on they are its."""
    options = {"confirm_publish": True}
    with Celery("pipeline", broker=broker.url, broker_transport_options=options, set_as_current=False) as app:
        for name in names:
            app.send_task("tasks.enqueue", kwargs={"signature_id": name, "region": "ph", "context": None})


@contextmanager
def ledger_paused(fleet: Fleet) -> Iterator[None]:
    """Whoever wants to change the ledger waits; who dies meanwhile has changed nothing."""
    with fleet.redis() as redis:
        redis.client_pause(PAUSE_MS, all=False)
        try:
            yield
        finally:
            redis.client_unpause()


def await_rest(fleet: Fleet) -> None:
    """Until all are done, or no more are for a while."""
    done, since = -1, time.monotonic()
    while done < NUMBER and time.monotonic() < since + REST_S:
        time.sleep(0.2)
        now = fleet.stats().counts("ph").done
        if now != done:
            done, since = now, time.monotonic()


def held(fleet: Fleet) -> bool:
    """Whether many calls wait for the ledger."""
    with fleet.redis() as redis:
        clients = redis.client_list()
    return sum(client["cmd"] == "evalsha" and "b" in client["flags"] for client in clients) >= HELD


def test_the_dispatcher_sees_rabbitmqs_queue(fleet: Fleet, broker: RabbitMQ) -> None:
    """Claims are made while nobody waits in the queue, whichever broker has the queue."""
    assert broker
    fleet.worker("w1")
    fleet.ledger().enqueue([EnqueueRequest(f"pass-{number}", "ph") for number in range(150)])
    fleet.await_done(150)
    assert len(fleet.delivered()) == 150
    assert "dispatcher_failed" not in fleet.log("w1")


def test_while_rabbitmq_hangs_a_worker_rests_and_lives_and_ends_when_it_is_told_to(
    fleet: Fleet, broker: RabbitMQ
) -> None:
    """As one does that runs short of memory, or of disk."""
    worker = fleet.worker("w1")
    with broker.frozen():
        fleet.ledger().enqueue([EnqueueRequest("pass-1", "ph")])
        until(lambda: "dependency_unavailable" in fleet.log("w1"), "its dispatcher has not waited for ever")
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(timeout=115) == 0
