"""Our part of kombu's transport on a Redis that is full: what is taken is noted, and comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from celery.exceptions import Reject
from kombu import Connection, Queue

from worker import client
from worker.messaging import redis_transport
from worker.runtime.services import services
from worker.settings import current

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from redis import Redis

pytestmark = pytest.mark.every_server

QUEUE = Queue("tested")


@pytest.fixture
def channel(redis_url: str, redis: Redis) -> Iterator[Any]:
    """Three messages lie on the queue, and Redis is full."""
    redis_transport.install()
    with Connection(redis_url) as connection:
        with connection.Producer() as producer:
            for number in range(3):
                producer.publish(number, routing_key=QUEUE.name, declare=[QUEUE])
        redis.config_set("maxmemory", 1)
        yield connection.default_channel
        redis.config_set("maxmemory", 0)


def taken(channel: Any) -> list[Any]:
    """What is on the queue, taken and not acknowledged."""
    messages: list[Any] = []
    channel.basic_consume(QUEUE.name, False, messages.append, "tag")
    for _ in range(3):
        channel.connection.client.drain_events(timeout=5)
    channel.basic_cancel("tag")
    return messages


def test_what_is_put_back_is_on_the_queue_once_more(channel: Any, redis: Redis) -> None:
    first, second, third = taken(channel)
    assert (redis.llen(QUEUE.name), redis.hlen("unacked"), redis.zcard("unacked_index")) == (0, 3, 3)
    first.ack()
    second.requeue()
    third.requeue()
    third.channel.qos.restore_by_tag(third.delivery_tag)
    assert (redis.llen(QUEUE.name), redis.hlen("unacked"), redis.zcard("unacked_index")) == (2, 0, 0)
    assert sorted(message.payload for message in taken_again(channel)) == [1, 2]


def taken_again(channel: Any) -> list[Any]:
    return [channel.basic_get(QUEUE.name) for _ in range(2)]


def test_what_others_left_is_put_back_once_there_is_room(channel: Any, redis: Redis) -> None:
    """To look for it takes a lock, which a full Redis refuses."""
    taken(channel)
    qos = channel.qos
    qos.visibility_timeout = 0
    qos.restore_visible(interval=1)
    assert redis.llen(QUEUE.name) == 0
    redis.config_set("maxmemory", 0)
    qos.restore_visible(interval=1)
    assert (redis.llen(QUEUE.name), redis.hlen("unacked")) == (3, 0)


@pytest.fixture
def no_ledger(monkeypatch: pytest.MonkeyPatch, unused_port: int, tmp_path: Path) -> Iterator[None]:
    """The environment of a worker whose ledger is away."""
    for name, value in {
        "REDIS_URL": f"redis://127.0.0.1:{unused_port}/0",
        "ADVANCE_ACCESS_KEY": "a",
        "ADVANCE_SECRET_KEY": "b",
        "EKYC_EVIDENCE_URL": f"file://{tmp_path}",
    }.items():
        monkeypatch.setenv(name, value)
    caches = (current, services, client.ledger)
    for cached in caches:
        cached.cache_clear()
    yield
    for cached in caches:
        cached.cache_clear()


@pytest.mark.usefixtures("no_ledger")
def test_a_message_that_cannot_be_accepted_goes_back_and_is_not_dropped() -> None:
    """At once where the worker stops."""
    from tasks import enqueue  # noqa: PLC0415 - reads the environment

    services().stopping.set()
    with pytest.raises(Reject) as caught:
        enqueue.run("pass-1", "ph")
    assert caught.value.requeue  # type: ignore[attr-defined]
