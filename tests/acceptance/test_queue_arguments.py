"""Queues that others have declared in their own way, on real brokers: used as they are, or named with the reason."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import pytest
from celery import Celery
from kombu import Connection, Exchange, Queue

from schemas.decision import decision_id
from schemas.enqueue import EnqueueRequest
from tests.support.rabbitmq import installed
from tests.support.waiting import until
from worker.decisions.delivery import Outgoing, deliver
from worker.errors import BrokerUnavailable
from worker.messaging import queues

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.acceptance.fleet import Fleet
    from tests.support.rabbitmq import RabbitMQ

pytestmark = pytest.mark.timeout(240)

rabbitmq_only = pytest.mark.skipif(
    not installed(), reason="RabbitMQ is not installed (Debian: rabbitmq-server)"
)

QUORUM: Final[dict[str, Any]] = {"queue_arguments": {"x-queue-type": "quorum"}}

#: How a queue may be declared: the rows of the table in docs/rabbitmq.md.
KINDS: Final[dict[str, dict[str, Any]]] = {
    "quorum": QUORUM,
    "lazy": {"queue_arguments": {"x-queue-mode": "lazy"}},
    "priority": {"queue_arguments": {"x-max-priority": 10}},
    "ttl": {"message_ttl": 600},
    "expires": {"expires": 600},
    "max-length": {"queue_arguments": {"x-max-length": 100}},
    "dead-letter": {"queue_arguments": {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}},
    "single consumer": {"queue_arguments": {"x-single-active-consumer": True}},
    "not durable": {"durable": False},
    "auto-delete": {"auto_delete": True},
    "exclusive": {"exclusive": True},
    "stream": {"queue_arguments": {"x-queue-type": "stream"}},
    "many": {
        "queue_arguments": {
            "x-queue-type": "quorum",
            "x-max-length": 100,
            "x-overflow": "reject-publish",
            "x-delivery-limit": 5,
            "x-dead-letter-exchange": "dead",
        }
    },
}


@pytest.fixture
def owner(rabbitmq: RabbitMQ) -> Iterator[Connection]:
    """The pipeline's own connection, on a broker without queues."""
    with Connection(rabbitmq.url) as connection:
        connection.connect()
        yield connection


@pytest.fixture
def on_rabbitmq(fleet: Fleet, rabbitmq: RabbitMQ, owner: Connection) -> Fleet:
    assert owner.connected
    fleet.environment["CELERY_BROKER_URL"] = fleet.broker_url = rabbitmq.url
    return fleet


def declare(owner: Connection, name: str, kind: dict[str, Any]) -> None:
    Queue(name, channel=owner.default_channel, **kind).declare()


def taken(owner: Connection, name: str = "onboarding") -> list[dict[str, Any]]:
    """Take all that waits in a queue, however it was declared."""
    found = []
    while message := owner.default_channel.basic_get(name):  # type: ignore[attr-defined]
        found.append({"id": message.headers["id"], **json.loads(message.body)[1]})
        message.channel.basic_ack(message.delivery_tag)
    return found


def waiting(owner: Connection, name: str = "onboarding") -> int:
    return queues.size(owner.default_channel, name)


def outgoing(name: str) -> Outgoing:
    return Outgoing(name, "approve", json.dumps({"id": name}))


def doctor(fleet: Fleet, **environment: str) -> dict[str, dict[str, str]]:
    shown = json.loads(fleet.run("worker.cli", "doctor", "--json", **environment).stdout)
    return {check["check"]: check for check in shown["checks"]}


@rabbitmq_only
@pytest.mark.parametrize("kind", KINDS)
def test_a_decision_reaches_the_pipelines_queue_however_that_was_declared(
    rabbitmq: RabbitMQ, owner: Connection, kind: str
) -> None:
    declare(owner, "onboarding", KINDS[kind])
    with Celery("fleet", broker=rabbitmq.url, set_as_current=False) as app:
        deliver(app, [outgoing("d-1"), outgoing("d-2")])
        deliver(app, [outgoing("d-3")])
    if kind == "stream":
        return  # It has no count, and no basic.get; that both were confirmed is all there is to see.
    until(lambda: waiting(owner) == 3, "all are there")
    assert [each["id"] for each in taken(owner)] == ["d-1", "d-2", "d-3"]


@rabbitmq_only
@pytest.mark.parametrize("kind", KINDS)
def test_our_own_queue_is_used_however_it_was_declared(
    rabbitmq: RabbitMQ, owner: Connection, kind: str
) -> None:
    """What a worker does with it first: declare it, bind it, and ask how many wait."""
    declare(owner, "celery", KINDS[kind])
    queue = Queue("celery", Exchange("celery"), routing_key="celery")
    with Connection(rabbitmq.url) as connection:
        if kind == "exclusive":
            queues.ensure(queue, connection.default_channel)
            with pytest.raises(connection.channel_errors) as caught:
                queues.size(connection.default_channel, "celery")
            assert queues.why(caught.value) == "405 RESOURCE_LOCKED"
            return
        queues.ensure(queue, connection.default_channel)
        # As Celery declares it by itself.
        queue.bind(connection.default_channel).declare()
        assert queues.size(connection.default_channel, "celery") == 0


@rabbitmq_only
def test_with_quorum_queues_a_fleet_works(on_rabbitmq: Fleet, rabbitmq: RabbitMQ, owner: Connection) -> None:
    """RabbitMQ ends a connection that asks for Celery's usual prefetch on a quorum queue."""
    for name in ("onboarding", "celery"):
        declare(owner, name, QUORUM)
    Exchange("celery", type="topic", channel=owner.default_channel).declare()
    worker = on_rabbitmq.worker()
    with Celery("p", broker=rabbitmq.url, set_as_current=False) as pipeline:
        exchange = Exchange("celery", type="topic")
        pipeline.conf.task_queues = [Queue("celery", exchange, routing_key="celery", **QUORUM)]
        for number in range(20):
            arguments = {"signature_id": f"pass-{number}", "region": "ph", "context": None}
            pipeline.send_task("tasks.enqueue", kwargs=arguments)
    on_rabbitmq.await_done(20)
    ids = {each["id"] for each in taken(owner)}
    assert ids == {decision_id("ph", f"pass-{number}") for number in range(20)}
    assert worker.poll() is None
    found = doctor(on_rabbitmq)
    for name in ("onboarding", "celery"):
        assert found[f"queue {name}"]["level"] == "ok"
        assert "x-queue-type=quorum" in found[f"queue {name}"]["said"]


@rabbitmq_only
def test_a_decision_counts_only_when_a_queue_has_it(on_rabbitmq: Fleet, owner: Connection) -> None:
    """RabbitMQ confirms what it throws away because its queue was deleted meanwhile."""
    on_rabbitmq.worker()
    for name in ("pass-1", "pass-2"):
        on_rabbitmq.ledger().enqueue([EnqueueRequest(name, "ph")])
        on_rabbitmq.await_done(2 if name == "pass-2" else 1)
        assert [each["id"] for each in taken(owner)] == [decision_id("ph", name)]
        owner.default_channel.queue_delete("onboarding")  # type: ignore[attr-defined]
    assert "312 NO_ROUTE" in on_rabbitmq.log("w1")
    assert "delivery_recovered" in on_rabbitmq.log("w1")
    assert on_rabbitmq.log("w1").count("decision_queue_gone") == 1


@rabbitmq_only
def test_a_queue_that_takes_no_more_is_named_with_the_reason(on_rabbitmq: Fleet, owner: Connection) -> None:
    full = {"queue_arguments": {"x-max-length": 1, "x-overflow": "reject-publish"}}
    declare(owner, "onboarding", full)
    on_rabbitmq.worker()
    on_rabbitmq.ledger().enqueue([EnqueueRequest(name, "ph") for name in ("pass-1", "pass-2")])
    until(lambda: "delivery_failed" in on_rabbitmq.log("w1"), "one is refused")
    assert "MessageNacked" in on_rabbitmq.log("w1")
    shown = on_rabbitmq.run("worker.cli", "status", "pass-1", "--region", "ph").stdout
    shown += on_rabbitmq.run("worker.cli", "status", "pass-2", "--region", "ph").stdout
    assert "DELIVERY_FAILED MessageNacked" in shown
    row = doctor(on_rabbitmq)["queue onboarding"]
    assert row["level"] == "warning"
    assert "x-max-length=1" in row["said"]
    until(lambda: taken(owner) and on_rabbitmq.stats().counts("ph").done == 2, "both are delivered")


@rabbitmq_only
def test_our_own_queue_that_another_connection_owns_ends_the_start(
    on_rabbitmq: Fleet, owner: Connection
) -> None:
    declare(owner, "celery", {"exclusive": True})
    worker = on_rabbitmq.start("celery", "-A", "worker", "worker", name="w1", EKYC_START_WAIT="1")
    assert worker.wait(timeout=60) == 1
    lines = [line for line in on_rabbitmq.log("w1").splitlines() if line.startswith("ekyc: ")]
    assert "the queue celery cannot be used: 405 RESOURCE_LOCKED" in lines[-1]
    assert doctor(on_rabbitmq)["queue celery"]["level"] == "error"


def test_a_key_of_another_type_in_place_of_the_pipelines_queue_is_named(fleet: Fleet) -> None:
    with fleet.redis() as redis:
        redis.set("onboarding", "a secret of somebody's")
        fleet.worker()
        fleet.ledger().enqueue([EnqueueRequest("pass-1", "ph")])
        until(lambda: "delivery_failed" in fleet.log("w1"), "it is tried")
        assert "the queue onboarding cannot be written: WRONGTYPE" in fleet.log("w1")
        shown = fleet.run("worker.cli", "status", "pass-1", "--region", "ph").stdout
        assert "DELIVERY_FAILED WRONGTYPE" in shown
        row = doctor(fleet)["queue onboarding"]
        assert row["level"] == "error"
        assert "WRONGTYPE" in row["said"]
        redis.delete("onboarding")
        fleet.await_done(1)
    assert len(fleet.delivered()) == 1
    assert "delivery_recovered" in fleet.log("w1")


def test_a_key_of_another_type_in_place_of_our_own_queue_ends_the_start(fleet: Fleet) -> None:
    with fleet.redis() as redis:
        redis.set("celery", "no list")
    worker = fleet.start("celery", "-A", "worker", "worker", name="w1", EKYC_START_WAIT="1")
    assert worker.wait(timeout=60) == 1
    lines = [line for line in fleet.log("w1").splitlines() if line.startswith("ekyc: ")]
    assert "the queue celery cannot be used: WRONGTYPE" in lines[-1]
    assert doctor(fleet)["queue celery"]["level"] == "error"


@rabbitmq_only
def test_a_broker_that_hung_confirms_nothing_afterwards(rabbitmq: RabbitMQ, owner: Connection) -> None:
    """A confirmation that comes late must not count for the next decision."""
    declare(owner, "onboarding", {"queue_arguments": {"x-max-length": 1, "x-overflow": "reject-publish"}})
    options = {"read_timeout": 2, "write_timeout": 2, "connect_timeout": 2}
    with Celery("fleet", broker=rabbitmq.url, broker_transport_options=options, set_as_current=False) as app:
        app.conf.task_publish_retry = False
        with rabbitmq.frozen(), pytest.raises(BrokerUnavailable):
            deliver(app, [outgoing("d-1")])
        until(lambda: waiting(owner) <= 1, "it answers")
        confirmed = set()
        for number in range(3):
            # The queue takes one of all four; which one depends on when the broker reads the first.
            with suppress(BrokerUnavailable):
                deliver(app, [outgoing(f"d-{2 + number}")])
                confirmed.add(f"d-{2 + number}")
    (kept,) = taken(owner)
    assert confirmed <= {kept["id"]}
