"""Our transport does all that kombu's own does: priorities, exchanges, prefixes, credentials, and what comes back."""

from __future__ import annotations

import socket
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import pytest
from kombu import Connection, Consumer, Exchange, Producer, Queue
from redis.exceptions import AuthenticationError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from tests.support.waiting import until
from worker.messaging import redis_transport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

pytestmark = [pytest.mark.timeout(60), pytest.mark.every_server]

PREFIX: Final = "_prefixed_"

#: How long a test waits for a message that must not come.
NOTHING_S: Final = 0.3


@pytest.fixture(params=["", PREFIX], ids=["plain", "prefixed"])
def prefix(request: pytest.FixtureRequest) -> str:
    """What every key of the broker begins with."""
    found: str = request.param
    return found


@pytest.fixture
def connection(redis_url: str, prefix: str) -> Iterator[Connection]:
    with connected(redis_url, global_keyprefix=prefix) as connection:
        yield connection


@contextmanager
def connected(url: str, **options: Any) -> Iterator[Connection]:
    redis_transport.install()
    with Connection(url, transport_options=options) as connection:
        assert isinstance(connection.transport, redis_transport.Transport)
        yield connection


def test_a_channel_keeps_its_client_until_it_has_another_pool(connection: Connection) -> None:
    channel: Any = connection.default_channel
    with channel.conn_or_acquire() as first, channel.conn_or_acquire() as again:
        assert first is again
        assert first is not channel.client  # on which a worker waits for messages
    channel._disconnect_pools()
    with channel.conn_or_acquire() as other:
        assert other.connection_pool is channel.pool
        assert other.connection_pool is not first.connection_pool
        assert other.ping()


def publish(connection: Connection, queue: Queue, body: Any, **how: Any) -> None:
    options: dict[str, Any] = {
        "exchange": queue.exchange,
        "routing_key": queue.routing_key,
        "declare": [queue],
    }
    with connection.Producer() as producer:
        producer.publish(body, **options | how)


def consume(connection: Connection, queue: Queue, number: int) -> list[Any]:
    """Take `number` messages from a queue, without acknowledging them."""
    taken: list[Any] = []
    with Consumer(connection.default_channel, [queue], callbacks=[lambda _, message: taken.append(message)]):
        until(lambda: drained(connection) and len(taken) >= number, f"{number} messages arrive", 20)
    return taken


def drained(connection: Connection) -> bool:
    """Whether anything may have come."""
    with suppress(TimeoutError):
        connection.drain_events(timeout=0.5)
    return True


def nothing(connection: Connection, queue: Queue) -> bool:
    taken: list[Any] = []
    with Consumer(connection.default_channel, [queue], callbacks=[lambda _, message: taken.append(message)]):
        try:
            connection.drain_events(timeout=NOTHING_S)
        except TimeoutError:
            return not taken
    return False


def bodies(messages: list[Any]) -> list[Any]:
    return [message.payload for message in messages]


def acknowledge(messages: list[Any]) -> None:
    for message in messages:
        message.ack()


def left(redis: Redis) -> dict[str, int]:
    """Each key that holds messages, with their number; bindings and locks are left out."""
    sizes: dict[Any, Any] = {b"list": redis.llen, b"hash": redis.hlen, b"zset": redis.zcard}
    kinds = {key: redis.type(key) for key in redis.scan_iter()}
    return {key.decode(): sizes[kind](key) for key, kind in kinds.items() if kind in sizes}


def test_a_message_goes_through_a_queue_and_is_forgotten_once_acknowledged(
    connection: Connection, redis: Redis, prefix: str
) -> None:
    queue = Queue("q", routing_key="q")
    publish(connection, queue, {"hello": "world"}, headers={"k": "v"})
    (message,) = consume(connection, queue, 1)
    assert (message.payload, message.headers["k"]) == ({"hello": "world"}, "v")
    assert left(redis) == {f"{prefix}unacked": 1, f"{prefix}unacked_index": 1}
    message.ack()
    assert left(redis) == {}


def test_a_message_that_is_rejected_is_gone(connection: Connection, redis: Redis) -> None:
    queue = Queue("q", routing_key="q")
    publish(connection, queue, 1)
    (message,) = consume(connection, queue, 1)
    message.reject()
    assert left(redis) == {}
    assert nothing(connection, queue)


@pytest.mark.parametrize("back", ["requeue", "reject"])
def test_a_message_that_is_put_back_comes_again_marked_as_such(
    connection: Connection, redis: Redis, prefix: str, back: str
) -> None:
    queue = Queue("q", routing_key="q")
    publish(connection, queue, 1)
    (message,) = consume(connection, queue, 1)
    message.requeue() if back == "requeue" else message.reject(requeue=True)
    assert left(redis) == {f"{prefix}q": 1}
    (again,) = consume(connection, queue, 1)
    assert again.payload == 1
    assert again.headers["redelivered"]
    assert again.delivery_info["redelivered"]
    again.ack()
    assert left(redis) == {}


def test_what_was_put_back_keeps_its_priority(connection: Connection, redis: Redis, prefix: str) -> None:
    """A lower number comes first, as with kombu's own; equal ones in the order in which they were sent."""
    queue = Queue("q", routing_key="q", max_priority=10)
    for body, priority in (("first", 6), ("second", 3), ("third", 6)):
        publish(connection, queue, body, priority=priority)
    taken = consume(connection, queue, 3)
    assert bodies(taken) == ["second", "first", "third"]
    for message in taken:
        message.requeue()
    separator = "\x06\x16"
    assert left(redis) == {f"{prefix}q{separator}3": 1, f"{prefix}q{separator}6": 2}
    publish(connection, queue, "fourth", priority=0)
    again = consume(connection, queue, 4)
    assert bodies(again)[:2] == ["fourth", "second"]
    assert sorted(bodies(again)[2:]) == ["first", "third"]
    acknowledge(again)
    assert left(redis) == {}


def test_a_channel_that_closes_puts_back_what_it_held(
    connection: Connection, redis: Redis, redis_url: str, prefix: str
) -> None:
    queue = Queue("q", routing_key="q")
    for number in range(3):
        publish(connection, queue, number)
    with connected(redis_url, global_keyprefix=prefix) as other:
        assert len(consume(other, queue, 3)) == 3
        other.default_channel.close()  # type: ignore[attr-defined]
    assert left(redis) == {f"{prefix}q": 3}
    taken = consume(connection, queue, 3)
    assert sorted(bodies(taken)) == [0, 1, 2]
    acknowledge(taken)


def test_what_a_killed_consumer_held_is_put_back_after_the_visibility_timeout(
    redis: Redis, redis_url: str, prefix: str
) -> None:
    queue = Queue("q", routing_key="q")
    with connected(redis_url, global_keyprefix=prefix, visibility_timeout=0) as connection:
        publish(connection, queue, 1)
        consume(connection, queue, 1)
        channel: Any = connection.default_channel
        channel.qos.restore_visible(interval=1)
        assert left(redis) == {f"{prefix}q": 1}
        taken = consume(connection, queue, 1)
        assert bodies(taken) == [1]
        acknowledge(taken)


def test_a_direct_exchange_goes_by_the_routing_key(connection: Connection) -> None:
    exchange = Exchange("direct_", type="direct")
    one, two = (Queue(name, exchange, routing_key=name) for name in ("one", "two"))
    publish(connection, one, "a", declare=[one, two])
    publish(connection, one, "nowhere", routing_key="three", declare=[one, two])
    taken = consume(connection, one, 1)
    assert bodies(taken) == ["a"]
    acknowledge(taken)
    assert nothing(connection, one)
    assert nothing(connection, two)


def test_a_topic_exchange_goes_by_the_pattern(connection: Connection) -> None:
    exchange = Exchange("topics", type="topic")
    every, same, other = (
        Queue(name, exchange, routing_key=key) for name, key in (("a", "t.*"), ("b", "t.#"), ("c", "t"))
    )
    publish(connection, every, "x", routing_key="t.1", declare=[every, same, other])
    for queue in (every, same):
        taken = consume(connection, queue, 1)
        assert bodies(taken) == ["x"]
        # Only to the queue from which it came, and not to all that match.
        acknowledge(taken)
    assert nothing(connection, other)


def test_a_fanout_exchange_reaches_all_who_listen(
    connection: Connection, redis: Redis, redis_url: str, prefix: str
) -> None:
    exchange = Exchange("everyone", type="fanout")
    heard: list[str] = []

    def listen(name: str, on: Connection) -> Consumer:
        queue = Queue(name, exchange, auto_delete=True)
        consumer = Consumer(on.default_channel, [queue], callbacks=[lambda *_: heard.append(name)])
        consumer.consume(no_ack=True)
        return consumer

    def subscribed() -> int:
        return sum(client["psub"] == "1" for client in redis.client_list(_type="pubsub"))

    with connected(redis_url, global_keyprefix=prefix) as other:
        listen("one", connection)
        listen("two", other)
        until(
            lambda: drained(connection) and drained(other) and subscribed() == 2,
            "both have subscribed",
            20,
        )
        with connected(redis_url, global_keyprefix=prefix) as sender:
            Producer(sender.default_channel, exchange).publish("x")
        until(lambda: drained(connection) and drained(other) and len(heard) == 2, "both hear it", 20)
    assert sorted(heard) == ["one", "two"]


def test_an_exchange_without_queues_takes_what_is_published(connection: Connection, redis: Redis) -> None:
    Producer(connection.default_channel, Exchange("nobody", type="topic")).publish(1, routing_key="t.1")
    assert left(redis) == {}


def test_simple_queues_and_buffers_work(connection: Connection, redis: Redis) -> None:
    with connection.SimpleQueue("q") as queue:
        queue.put({"a": 1}, headers={"k": "v"})
        message = queue.get(timeout=5)
        assert (message.payload, message.headers) == ({"a": 1}, {"k": "v"})
        message.ack()
        with pytest.raises(queue.Empty):
            queue.get_nowait()
    with connection.SimpleBuffer("b") as buffer:
        buffer.put({"a": 1})
        assert buffer.get(timeout=5).payload == {"a": 1}
        with pytest.raises(buffer.Empty):
            buffer.get_nowait()
    assert left(redis) == {}


def test_a_queue_is_counted_purged_and_deleted(connection: Connection, redis: Redis) -> None:
    queue = Queue("q", Exchange("e", type="direct"), routing_key="q", max_priority=10)
    for priority in (0, 3, 9):
        publish(connection, queue, 1, priority=priority)
    bound = queue.bind(connection.default_channel)
    channel: Any = connection.default_channel
    assert channel.queue_declare("q").message_count == 3
    assert bound.purge() == 3
    publish(connection, queue, 1)
    bound.delete()
    assert left(redis) == {}


def test_a_queue_that_expires_does_so_at_every_priority(
    connection: Connection, redis: Redis, prefix: str
) -> None:
    queue = Queue("q", routing_key="q", expires=100, max_priority=10)
    for priority in (0, 3, 6, 9):
        publish(connection, queue, 1, priority=priority)
    lists = [key for key in redis.scan_iter() if redis.type(key) == b"list"]
    assert len(lists) == 4
    assert all(key.decode().startswith(f"{prefix}q") and 0 < redis.ttl(key) <= 100 for key in lists)
    (message, *_) = taken = consume(connection, queue, 4)
    message.requeue()
    acknowledge(taken[1:])
    assert left(redis) == {f"{prefix}q": 1}


def test_with_a_prefix_no_key_is_outside_it(redis: Redis, redis_url: str) -> None:
    """Whatever is done: an account that may only use the prefix is never refused."""
    rules = ("+@all", f"~{PREFIX}*", f"&{PREFIX}*")
    redis.acl_setuser("prefixed", enabled=True, reset=True, passwords=["+pw"])
    redis.execute_command("ACL", "SETUSER", "prefixed", *rules)  # type: ignore[no-untyped-call]
    url = redis_url.replace("redis://", "redis://prefixed:pw@")
    queue = Queue("q", routing_key="q", max_priority=10)
    try:
        with connected(url, global_keyprefix=PREFIX, visibility_timeout=0) as connection:
            publish(connection, queue, 1, priority=3)
            (message,) = consume(connection, queue, 1)
            message.requeue()
            consume(connection, queue, 1)
            channel: Any = connection.default_channel
            channel.qos.restore_visible(interval=1)
            (message,) = consume(connection, queue, 1)
            message.ack()
            assert {key.decode() for key in redis.scan_iter() if not key.decode().startswith(PREFIX)} == set()
    finally:
        redis.acl_deluser("prefixed")


#: Characters that mean something in a URL.
HARD: Final = "p@:/?#[]%&= ö"


@pytest.mark.parametrize("given", ["url", "arguments"])
def test_a_name_and_a_password_of_any_characters_are_understood(
    redis: Redis, redis_url: str, given: str
) -> None:
    redis.acl_setuser(
        "us-er",
        enabled=True,
        reset=True,
        passwords=[f"+{HARD}"],
        keys=["*"],
        channels=["*"],
        categories=["+@all"],
    )
    redis_transport.install()
    try:
        connection = (
            Connection(redis_url.replace("redis://", f"redis://us-er:{quote(HARD, safe='')}@"))
            if given == "url"
            else Connection(redis_url, userid="us-er", password=HARD)
        )
        with connection, connection.SimpleQueue("q") as queue:
            channel: Any = queue.channel
            assert channel.client.acl_whoami() == "us-er"
            queue.put(1)
            queue.get(timeout=5).ack()
    finally:
        redis.acl_deluser("us-er")


def test_a_wrong_password_is_said_to_be_one(redis_url: str) -> None:
    redis_transport.install()
    with (
        pytest.raises(AuthenticationError),
        Connection(redis_url.replace("redis://", "redis://who:wrong@")) as connection,
    ):
        connection.connect()


def test_a_server_that_is_not_there_or_says_nothing_is_a_connection_error(unused_port: int) -> None:
    redis_transport.install()
    with (
        pytest.raises(RedisConnectionError) as refused,
        Connection(f"redis://127.0.0.1:{unused_port}") as connection,
    ):
        connection.connect()
    assert isinstance(refused.value, redis_transport.Transport.connection_errors)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}"
        with (
            pytest.raises(RedisTimeoutError) as late,
            Connection(url, transport_options={"socket_timeout": 0.2}) as connection,
        ):
            connection.connect()
    assert isinstance(late.value, redis_transport.Transport.connection_errors)
