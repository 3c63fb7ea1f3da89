"""Checks of our two queues: whether they can be used, how they were declared, and how many messages wait in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from amqp.exceptions import NotFound, ResourceLocked

from worker.cli.checks.finding import Finding, Level
from worker.messaging import queues
from worker.messaging.publish import BROKEN
from worker.settings import DECISION_QUEUE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kombu import Connection

    from worker.settings import Settings

TIMEOUT_S: Final = 2

#: Fewer decisions than this may wait although the pipeline reads them: a few seconds of a busy fleet.
MANY_UNREAD: Final = 1000

#: Arguments with which RabbitMQ drops unread messages, and what happens then.
_DROPS: Final[Mapping[str, str]] = {
    "durable": "the queue is lost when RabbitMQ restarts",
    "auto_delete": "the queue is deleted with its last consumer",
    "exclusive": "the queue is deleted with the connection that owns it",
    "x-message-ttl": "messages in it expire",
    "x-expires": "the queue is deleted when it is not used",
    "x-max-length": "messages above the limit are dropped or refused",
    "x-max-length-bytes": "messages above the limit are dropped or refused",
    "x-delivery-limit": "a message that comes back often is dropped",
}

#: Arguments that prevent workers from sharing a queue.
_HINDERS: Final[Mapping[str, str]] = {"x-single-active-consumer": "only one worker consumes it"}

_PAGE: Final = "(docs/rabbitmq.md)"


def check_queues(settings: Settings) -> Iterator[Finding]:
    """Check our queue and the pipeline's. If the broker does not answer, `check_broker` reports that."""
    try:
        with queues.connected(settings.broker_url, TIMEOUT_S) as connection:
            found = [
                _checked(connection, settings.queue, own=True),
                _checked(connection, DECISION_QUEUE, own=False),
            ]
    except Exception:  # noqa: BLE001 - kombu passes on whatever any of its drivers raises
        return
    yield from found


def _checked(connection: Connection, name: str, *, own: bool) -> Finding:
    check = f"queue {name}"
    try:
        if connection.transport.driver_type != "amqp":
            return _counted(check, queues.size(connection.default_channel, name), {}, own=own)
        return _on_rabbitmq(connection, check, name, own=own)
    except BROKEN as error:
        todo = (
            "delete it, or set EKYC_QUEUE to another name" if own else "ask the pipeline's team to correct it"
        )
        return Finding(check, Level.ERROR, f"cannot be used: {queues.explained(error)}", f"{todo} {_PAGE}")


def _on_rabbitmq(connection: Connection, check: str, name: str, *, own: bool) -> Finding:
    opened: Any = connection.channel()
    with opened as channel:
        try:
            there = channel.queue_declare(name, passive=True)
        except NotFound:
            return Finding(check, Level.OK, "does not exist yet: the first worker declares it")
        except ResourceLocked:
            if own:
                raise
            return _counted(check, None, {"exclusive": True}, own=own)
        declared = queues.arguments(channel, name)
    if own and declared.get("x-queue-type") == "stream":
        return Finding(
            check, Level.ERROR, "is a stream", f"set EKYC_QUEUE to the name of another queue {_PAGE}"
        )
    return _counted(check, there.message_count, declared, own=own, consumers=there.consumer_count)


def _counted(
    check: str, waiting: int | None, declared: Mapping[str, Any], *, own: bool, consumers: int | None = None
) -> Finding:
    noun = "messages" if own else "decisions"
    shown = ", ".join(f"{key}={str(value).lower()}" for key, value in sorted(declared.items()))
    said = "can be used" if waiting is None else f"{waiting:,} {noun} wait"
    if shown:
        said += f"; declared with {shown}, and used as it is"
    faults = [
        text
        for key, text in {**_DROPS, **(_HINDERS if own else {})}.items()
        if declared.get(key, _usual(key)) != _usual(key)
    ]
    if faults:
        return Finding(
            check, Level.WARNING, f"{said}: {'; '.join(faults)}", f"declare it durable, without these {_PAGE}"
        )
    unread = not own and waiting and (waiting >= MANY_UNREAD or consumers == 0)
    if unread:
        nobody = ", and no consumer is connected" if consumers == 0 else ""
        return Finding(
            check, Level.WARNING, f"{said}{nobody}", "check that the pipeline consumes it (docs/runbooks.md)"
        )
    return Finding(check, Level.OK, said)


def _usual(key: str) -> bool | None:
    """Return the value of `key` in a queue that was declared without arguments."""
    return {"durable": True, "auto_delete": False, "exclusive": False}.get(key)
