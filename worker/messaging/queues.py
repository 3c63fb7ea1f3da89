"""The queues of a broker, Redis or RabbitMQ: existing queues are used as they are, missing queues are declared.

This module does not need Celery, so that `web` can count waiting messages.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from amqp.exceptions import AccessRefused, AMQPError, NotFound, PreconditionFailed, ResourceLocked
from kombu import Connection
from kombu.exceptions import KombuError
from redis.exceptions import ResponseError

from worker.messaging import redis_transport
from worker.server_faults import word

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kombu import Queue

# Kombu's own transport sends MULTI, which a Redis at its memory limit and a minimal account refuse.
redis_transport.install()

#: More arguments than RabbitMQ knows for a queue.
MOST_ARGUMENTS: Final = 24

#: The most characters of a broker's reply to show.
MOST_TEXT: Final = 200

#: Text of RabbitMQ's 406: the argument that differs, and its value in the existing queue.
_INEQUIVALENT: Final = re.compile(
    r"inequivalent arg '([a-z_-]+)' for queue .*: received .* but current is "
    r"(?:the value '([^']*)' of type '(\w+)'|'(true|false)'|none)",
    re.DOTALL,
)

#: Begins RabbitMQ's 404 for a queue that it does not know.
_NO_QUEUE: Final = "NOT_FOUND - no queue "

#: Fields of a queue that are not `x-` arguments.
_FIELDS: Final = ("durable", "auto_delete", "exclusive")


@contextmanager
def connected(url: str, timeout_s: int) -> Iterator[Connection]:
    """Connect to the broker at `url` for a block. Every call ends after `timeout_s`."""
    # Kombu caches the first transport that it resolves, and its own sends MULTI.
    redis_transport.install()
    options = dict.fromkeys(
        ("socket_timeout", "socket_connect_timeout", "read_timeout", "write_timeout"), timeout_s
    )
    with Connection(
        url, connect_timeout=timeout_s, ssl=redis_transport.tls(url) or False, transport_options=options
    ) as connection:
        # One attempt for each broker in the URL.
        connection.ensure_connection(
            max_retries=len(connection.alt), interval_start=0, reraise_as_library_errors=False
        )
        yield connection


def ensure(queue: Queue, channel: Any) -> None:
    """Declare `queue` if it does not exist. If it exists with other arguments, set these in `queue`.

    Raises the error of the broker's driver if the queue cannot be used.
    """
    if not _is_amqp(channel):
        queue.bind(channel).declare()
        return
    # An error closes a channel together with its consumers, so use a separate channel.
    with _channel(channel) as probe:
        try:
            _declare(
                probe,
                queue.name,
                durable=queue.durable,
                auto_delete=queue.auto_delete,
                extra=queue.queue_arguments,
            )
        except (PreconditionFailed, AccessRefused):
            probe.queue_declare(queue.name, passive=True)
            _take_over(queue, arguments(probe, queue.name))
        except ResourceLocked:
            # Another connection owns it. Messages can be published to it; a consumer gets an error.
            return
    if queue.exchange and queue.exchange.name:
        _bind(queue, channel)


def is_gone(queue: Queue, channel: Any) -> bool:
    """Return whether RabbitMQ has no such queue. On Redis always false: there an empty queue has no key either.

    A queue whose node is down, or that is being moved, gets the same code, and is not gone.
    """
    if not _is_amqp(channel):
        return False
    with _channel(channel) as probe:
        try:
            probe.queue_declare(queue.name, passive=True)
        except NotFound as error:
            return _NO_QUEUE in (error.reply_text or "")
        except (AccessRefused, ResourceLocked):
            return False
    return False


def arguments(channel: Any, name: str) -> dict[str, Any]:
    """Return the unusual arguments of an existing queue of RabbitMQ, as far as RabbitMQ shows them.

    RabbitMQ has no call for this, but its error names the first difference when a queue is declared again.
    """
    found: dict[str, Any] = {}
    for _ in range(MOST_ARGUMENTS):
        extra = {key: value for key, value in found.items() if key not in _FIELDS}
        try:
            _declare(
                channel,
                name,
                durable=found.get("durable", True),
                auto_delete=found.get("auto_delete", False),
                extra=extra,
            )
        except PreconditionFailed as error:
            differs = _INEQUIVALENT.search(error.reply_text or "")
            if differs is None or differs[1] in found:
                break
            found[differs[1]] = _value(differs)
        except AccessRefused:
            break
        else:
            break
    return found


def size(channel: Any, name: str) -> int:
    """Return the number of messages in an existing queue, without those that a consumer has taken."""
    # On Redis an empty queue has no key, and a passive declaration of it fails.
    declared = channel.queue_declare(queue=name, passive=_is_amqp(channel), durable=True, auto_delete=False)
    return int(declared.message_count)


def why(error: BaseException) -> str:
    """Return the broker's error code, such as `406 PRECONDITION_FAILED` or `WRONGTYPE`; else the error's type."""
    error = _of_the_driver(error)
    if isinstance(error, AMQPError) and error.reply_code:
        found = re.match(r"[A-Z_]+", error.reply_text or "")
        return f"{error.reply_code} {found[0] if found else type(error).__name__}"
    if isinstance(error, ResponseError):
        # Never the whole text: for a pipeline redis-py quotes the failed command, and so the message.
        found = re.match(r"[A-Z]{2,32}\b", str(error).rpartition(" of pipeline caused error: ")[2])
        return found[0] if found else word(error)
    return type(error).__name__


def explained(error: BaseException) -> str:
    """Return `why` with the text of RabbitMQ's reply, which quotes our names but no message."""
    error = _of_the_driver(error)
    text = (error.reply_text or "") if isinstance(error, AMQPError) else ""
    return f"{error.reply_code} {' '.join(text.split())[:MOST_TEXT]}" if text else why(error)  # type: ignore[attr-defined]


def _of_the_driver(error: BaseException) -> BaseException:
    """Return the error of the driver, if kombu has wrapped it."""
    while isinstance(error, KombuError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _is_amqp(channel: Any) -> bool:
    return bool(channel.connection.client.transport.driver_type == "amqp")


@contextmanager
def _channel(beside: Any) -> Iterator[Any]:
    """Open a new channel on the connection of another channel."""
    channel = beside.connection.channel()
    try:
        yield channel
    finally:
        channel.close()


def _declare(
    channel: Any, name: str, *, durable: bool, auto_delete: bool, extra: Mapping[str, Any] | None
) -> None:
    channel.queue_declare(name, durable=durable, auto_delete=auto_delete, arguments=dict(extra or {}))


def _take_over(queue: Queue, found: Mapping[str, Any]) -> None:
    queue.durable, queue.auto_delete = found.get("durable", True), found.get("auto_delete", False)
    queue.queue_arguments = {key: value for key, value in found.items() if key not in _FIELDS}


def _bind(queue: Queue, channel: Any) -> None:
    """Bind the queue to its exchange, of any type: others may publish there. We publish to the queue."""
    with _channel(channel) as probe:
        try:
            queue.exchange.bind(probe).declare()
        except PreconditionFailed:
            # Celery declares the exchange again; passive avoids the same error.
            queue.exchange.passive = True
        queue.bind(probe).queue_bind()


def _value(differs: re.Match[str]) -> Any:
    """Return the value in RabbitMQ's text, as the type that the text names."""
    _, text, kind, flag = differs.groups()
    if flag is not None or kind == "bool":
        return (flag or text) == "true"
    if text is None:
        return None
    return int(text) if text.lstrip("-").isdigit() and kind != "longstr" else text
