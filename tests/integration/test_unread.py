"""How many decisions nobody has read yet: by both brokers, in `stats` and metrics, and never at a scrape's cost."""

from __future__ import annotations

import json
import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from celery import Celery
from kombu import Connection, Queue
from prometheus_client import CollectorRegistry, generate_latest

from tests.support.rabbitmq import installed
from tests.support.waiting import until
from worker.decisions.table import Table
from worker.messaging.unread import EVERY_S, FRESH_S, WAIT_S, Known, Unread, count
from worker.observability.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

    from tests.support.cli_process import Ekyc
    from tests.support.rabbitmq import RabbitMQ


@contextmanager
def mute() -> Iterator[int]:
    """The port of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield server.getsockname()[1]


def send(broker_url: str, number: int = 1, *, priority: int = 0) -> None:
    with Celery("fleet", broker=broker_url, set_as_current=False) as app:
        for _ in range(number):
            app.send_task(
                "onboarding.approve", kwargs={"decision": {}}, queue="onboarding", priority=priority
            )


def sample(redis: Redis, unread: Unread) -> list[str]:
    registry = CollectorRegistry()
    registry.register(Metrics(redis, ["ph"], Table.load(None), unread=unread))
    lines = generate_latest(registry).decode().splitlines()
    assert "# TYPE ekyc_decisions_unread gauge" in lines
    assert "ekyc_up 1.0" in lines
    return [line for line in lines if line.startswith("ekyc_decisions_unread")]


def first_sample(redis: Redis, broker_url: str) -> list[str]:
    """What is scraped once there is a count: a scrape waits for it a second at most."""
    unread = Unread(broker_url)
    found: list[str] = until(lambda: sample(redis, unread), "there is a count")
    return found


def test_on_redis_messages_of_every_priority_are_counted(redis: Redis, redis_url: str, ekyc: Ekyc) -> None:
    assert count(redis_url) == 0
    for priority in (0, 3, 6, 9):
        send(redis_url, 2, priority=priority)
    assert redis.llen("onboarding") < 8
    assert count(redis_url) == 8
    assert first_sample(redis, redis_url) == ["ekyc_decisions_unread 8.0"]
    shown = ekyc("stats", "--json")
    assert json.loads(shown.out)["decisions_unread"] == 8
    assert "decisions that the pipeline has not read yet: 8" in ekyc("stats").out


def test_on_redis_a_prefix_of_the_url_counts(redis_url: str) -> None:
    """As kombu reads it, so that we count where it writes."""
    with Connection(redis_url, transport_options={"global_keyprefix": "p:"}) as connection:
        queue = Queue("onboarding", channel=connection.default_channel)
        queue.declare()
        connection.Producer().publish({}, routing_key="onboarding")
        assert connection.default_channel.queue_declare("onboarding").message_count == 1  # type: ignore[attr-defined]
    assert count(redis_url) == 0


@pytest.mark.skipif(not installed(), reason="RabbitMQ is not installed (Debian: rabbitmq-server)")
def test_on_rabbitmq_a_queue_of_any_kind_is_counted(redis: Redis, rabbitmq: RabbitMQ, ekyc: Ekyc) -> None:
    assert count(rabbitmq.url) == 0
    with Connection(rabbitmq.url) as connection:
        Queue(
            "onboarding",
            queue_arguments={"x-queue-type": "quorum"},
            channel=connection.default_channel,
        ).declare()
        for _ in range(3):
            connection.Producer().publish({}, routing_key="onboarding")
        until(lambda: count(rabbitmq.url) == 3, "3 messages are counted")
    assert first_sample(redis, rabbitmq.url) == ["ekyc_decisions_unread 3.0"]
    shown = ekyc.with_env(CELERY_BROKER_URL=rabbitmq.url)("stats", "--json")
    assert json.loads(shown.out)["decisions_unread"] == 3
    with rabbitmq.frozen():
        assert count(rabbitmq.url, timeout_s=1) is None


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_broker_that_is_away_or_hangs_is_no_number(
    scheme: str, redis: Redis, ekyc: Ekyc, unused_port: int
) -> None:
    with mute() as port:
        for url in (f"{scheme}://127.0.0.1:{unused_port}", f"{scheme}://127.0.0.1:{port}"):
            assert count(url, timeout_s=1) is None
            unread = Unread(url)
            assert sample(redis, unread) == []
            # The first scrape may wait for the first answer; no other does.
            begun = time.monotonic()
            for _ in range(20):
                assert sample(redis, unread) == []
            assert time.monotonic() - begun < 10 * WAIT_S
            shown = ekyc.with_env(CELERY_BROKER_URL=url)("stats", "--json")
            assert shown.code == 0
            assert json.loads(shown.out)["decisions_unread"] is None


def test_a_count_is_believed_for_a_while_and_no_longer(redis_url: str) -> None:
    now = [0.0]
    unread = Unread(redis_url, clock=lambda: now[0])
    until(lambda: unread.read() == 0, "there is a count")
    send(redis_url)
    assert unread.read() == 0
    now[0] = EVERY_S
    until(lambda: unread.read() == 1, "it is counted again")
    broken = Unread("redis://127.0.0.1:1", clock=lambda: now[0])
    broken._count, broken._counted_at, broken._answered = 5, now[0], True
    assert broken.read() == 5
    now[0] += FRESH_S
    assert broken.read() is None


def test_the_last_number_stays_with_its_age_and_for_how_long_it_has_grown(
    redis: Redis, redis_url: str
) -> None:
    now = [0.0]
    unread = Unread(redis_url, clock=lambda: now[0])
    assert unread.known() == Known(0, 0.0, True, 0.0)
    for number in range(3):
        send(redis_url)
        now[0] += EVERY_S
        assert unread.known() == Known(number + 1, 0.0, True, (number + 1) * EVERY_S)
    # What is not read keeps growing old, and the first one that is read begins again.
    now[0] += 100
    assert unread.known().grows_for_s == 3 * EVERY_S + 100
    redis.rpop("onboarding")
    now[0] += EVERY_S
    assert unread.known() == Known(2, 0.0, True, 0.0)
    # A key of another type cannot be counted: the last number stays.
    redis.delete("onboarding")
    redis.set("onboarding", "no list")
    now[0] += FRESH_S
    assert unread.known() == Known(2, FRESH_S, False, 0.0)
    assert Unread("redis://127.0.0.1:1").known() == Known(None, 0.0, False, 0.0)


def test_what_our_own_workers_read_is_not_it(redis: Redis, redis_url: str) -> None:
    """Another queue of the same broker, and a key of another type."""
    with Celery("p", broker=redis_url, set_as_current=False) as app:
        app.send_task("tasks.enqueue", queue="celery")
    assert count(redis_url) == 0
    redis.set("onboarding", "no list")
    assert count(redis_url) is None
