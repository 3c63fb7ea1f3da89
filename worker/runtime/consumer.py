"""Celery's consumer with our dispatcher, without mingle and gossip, and without message bodies in the logs."""

from __future__ import annotations

import logging
import re
import time
from typing import Any

import structlog
from celery import bootsteps
from celery.worker import consumer, control, heartbeat, state
from celery.worker.consumer import heart
from kombu.common import ignore_errors

from worker.decisions.delivery import send_on
from worker.errors import BrokerUnavailable
from worker.messaging import queues
from worker.messaging.decompression import MAX_MESSAGE_BYTES
from worker.messaging.redaction import fill_absent, sender
from worker.settings import DECISION_QUEUE, is_decision_queue

_CELERYS = consumer.Consumer.Blueprint

#: Celery's steps without its heart, which ours replaces.
_STEPS = tuple(step for step in _CELERYS.default_steps if not step.endswith(":Heart"))

#: The type stubs of these modules are incomplete.
_HEARTBEAT: Any = heartbeat.Heart
_HEART: Any = heart.Heart

_RUN: Any = bootsteps.RUN  # type: ignore[attr-defined]

#: Without mingle a worker starts a second sooner; without gossip it does not read every heartbeat of every other one.
_WITHOUT = {"without_mingle": True, "without_gossip": True}

#: What Celery raises for a JSON body that is not a task. It would end the worker, and the message would come back.
_NOT_A_TASK = (TypeError, ValueError, LookupError, AttributeError, RecursionError)

#: How often task events are sent at most, in seconds: those in between share a message. Each has its own time. Sent at
#: every turn of the loop they took 4 % of the CPU of a busy worker.
EVENTS_EVERY_S = 0.25

#: The pause between two attempts to forward a decision, in seconds.
SEND_ON_AGAIN_S = 5.0

_CONTROL: Any = control
_CELERYS_ADD_CONSUMER = _CONTROL.add_consumer

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")

_log = structlog.get_logger(__name__)


class Consumer(consumer.Consumer):
    """The consumer that Celery's setting `worker_consumer` names.

    It never logs a message's body, because that may hold the pipeline's context. Celery logs bodies that it cannot run.
    """

    class Blueprint(_CELERYS):  # type: ignore[misc, valid-type]
        default_steps = (*_STEPS, "worker.runtime.consumer:Heart", "worker.runtime.dispatcher:Dispatcher")

    def __init__(self, *args: Any, **options: Any) -> None:
        options["worker_options"] = (options.get("worker_options") or {}) | _WITHOUT
        super().__init__(*args, **options)
        #: Queues that this worker consumed from before it paused.
        self._paused: list[str] = []
        # When task events may be sent next, by the monotonic clock, and whether a timer waits for that.
        self._events_at = 0.0
        self._events_wait = False

    def stop(self) -> None:
        """Stop, and close Redis's channel now, not after the pool has drained, so that messages that arrive go back."""
        super()._flush_events()  # type: ignore[misc]
        super().stop()
        connection = self.connection
        if connection is not None and connection.transport.driver_type == "redis":
            ignore_errors(connection, connection.default_channel.close)  # type: ignore[attr-defined]

    def _flush_events(self) -> None:
        """In the main thread: send the buffered task events, at most every `EVENTS_EVERY_S`."""
        wait_s = self._events_at - time.monotonic()
        if wait_s <= 0 or self.blueprint.state != _RUN:  # without its loop no timer fires
            self._events_at = time.monotonic() + EVENTS_EVERY_S
            super()._flush_events()  # type: ignore[misc]
        elif not self._events_wait:
            self._events_wait = True
            self.timer.call_after(wait_s, self._flush_late_events)

    def _flush_late_events(self) -> None:
        self._events_wait = False
        self._events_at = 0.0
        self._flush_events()

    def pause_intake(self) -> None:
        """Stop taking task messages, also after a reconnect. May be called from any thread."""
        self.call_soon(self._pause_intake)

    def resume_intake(self) -> None:
        """Take messages again. May be called from any thread."""
        self.call_soon(self._resume_intake)

    def _pause_intake(self) -> None:
        self._paused = self._paused or list(self.app.amqp.queues.consume_from)
        for queue in self._paused:
            if self._consuming():
                self.cancel_task_queue(queue)
            else:
                self.app.amqp.queues.deselect([queue])

    def _resume_intake(self) -> None:
        paused, self._paused = self._paused, []
        for queue in paused:
            if self._consuming():
                self.add_task_queue(queue)
            else:
                self.app.amqp.queues.select_add(self.app.amqp.queues[queue])

    def _consuming(self) -> bool:
        """Whether the consumer is connected. While it reconnects, only the selection of queues can change."""
        return getattr(self, "task_consumer", None) is not None

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Clean up after a lost connection. Errors of a half-closed channel must not end the worker."""
        self._events_wait = False  # Celery may cancel the timer
        self._keep_events()
        try:
            super().on_connection_error_after_connected(exc)
        except Exception as error:  # noqa: BLE001 - kombu fails on a channel without a connection
            _log.warning("connection_not_tidied", error=type(error).__name__)

    def _keep_events(self) -> None:
        """Let Celery keep the buffered task events for its next connection, like those that it cannot send."""
        dispatcher = self.event_dispatcher  # type: ignore[attr-defined]
        if dispatcher is not None:
            dispatcher.producer = _Disconnected()
            dispatcher.flush()

    def connect(self) -> Any:
        """Connect, and adopt the arguments of our queues that already exist."""
        connection = super().connect()
        for queue in self.app.amqp.queues.consume_from.values():
            queues.ensure(queue, connection.default_channel)
        return connection

    def add_task_queue(self, queue: Any, *args: Any, **options: Any) -> Any:
        """Refuse the queue of decisions, which a broadcast command may name."""
        if is_decision_queue(str(queue)):
            _log.error("queue_refused", queue=DECISION_QUEUE, why="only the pipeline consumes it")
            return None
        return super().add_task_queue(queue, *args, **options)

    def create_task_handler(self, *args: Any, **options: Any) -> Any:
        handle = super().create_task_handler(*args, **options)

        def handle_whatever_it_is(message: Any) -> None:
            try:
                if len(message.body or b"") > MAX_MESSAGE_BYTES:
                    self._refuse(message, f"is larger than {MAX_MESSAGE_BYTES} bytes")
                    return
                fill_absent(message)
                handle(message)
            except _NOT_A_TASK:
                self._refuse(message, "its body is not that of a task")

        return handle_whatever_it_is

    def on_unknown_message(self, body: Any, message: Any) -> None:
        del body
        self._refuse(message, "is not a task")

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        del body, exc
        self._refuse(message, "no such task here: does another application use this queue?")

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        del body, exc
        self._refuse(message, "cannot be read as a task")

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        del exc
        packed = isinstance(message.headers, dict) and message.headers.get("compression")
        self._refuse(message, "cannot be unpacked" if packed else "is not JSON")

    def _refuse(self, message: Any, why: str) -> None:
        headers = message.headers if isinstance(message.headers, dict) else {}
        if str(headers.get("task") or _old_name(message)).startswith(f"{DECISION_QUEUE}."):
            self._send_on(message, _name(headers.get("id")))
            return
        _log.error(
            "message_refused",
            why=why,
            task=_name(headers.get("task")),
            id=_name(headers.get("id")),
            origin=sender(headers.get("origin")),
        )
        message.reject_log_error(logging.getLogger(__name__), self.connection_errors)  # type: ignore[attr-defined]

    def _send_on(self, message: Any, decision: str | None) -> None:
        """Forward a decision from our queue to the pipeline's. If that fails, requeue it later."""
        try:
            send_on(self.app, message)
        except BrokerUnavailable as error:
            _log.warning("decision_not_sent_on", id=decision, why=str(error))
            self.timer.call_after(SEND_ON_AGAIN_S, self._put_back, (message,))
            return
        _log.warning("decision_sent_on", id=decision, queue=DECISION_QUEUE)
        message.ack_log_error(logging.getLogger(__name__), self.connection_errors)  # type: ignore[attr-defined]

    def _put_back(self, message: Any) -> None:
        message.reject_log_error(logging.getLogger(__name__), self.connection_errors, requeue=True)  # type: ignore[attr-defined]


class _Disconnected:
    """A producer without a connection."""

    def publish(self, *_: Any, **__: Any) -> None:
        raise ConnectionError


class Heartbeat(_HEARTBEAT):  # type: ignore[misc]
    """Sends Celery's heartbeat events without retries. With retries, a hanging broker would block SIGTERM for ever.

    Celery's loop would also miss a SIGTERM while its timers wait for the broker, so this checks for it at each beat.
    """

    def _send(self, event: str, retry: bool = False) -> Any:  # noqa: FBT001, FBT002 - celery's
        del retry
        if event == "worker-heartbeat":
            state.maybe_shutdown()
        return super()._send(event, retry=False)


class Heart(_HEART):  # type: ignore[misc]
    """Celery's bootstep, with our heartbeat."""

    def start(self, c: Any) -> None:
        c.heart = Heartbeat(c.timer, c.event_dispatcher, self.heartbeat_interval)
        c.heart.start()


def _old_name(message: Any) -> Any:
    """Return the task's name from the decoded body of a message in Celery's first protocol."""
    body = getattr(message, "_decoded_cache", None)
    return body.get("task") if isinstance(body, dict) else None


@_CONTROL.control_command(  # type: ignore[untyped-decorator]
    name="add_consumer",
    args=[("queue", str), ("exchange", str), ("exchange_type", str), ("routing_key", str)],
    signature="<queue> [exchange [type [routing_key]]]",
)
def add_consumer(state: Any, queue: str, *args: Any, **options: Any) -> Any:
    """Tell worker(s) to consume from task queue by name."""
    if is_decision_queue(str(queue)):
        state.consumer.call_soon(state.consumer.add_task_queue, queue)
        return _CONTROL.nok(f"a worker must not consume the queue {DECISION_QUEUE}")
    return _CELERYS_ADD_CONSUMER(state, queue, *args, **options)


def _name(text: Any) -> str | None:
    """Return `text` if it looks like a task's name or id, else None."""
    return text if isinstance(text, str) and _NAME.fullmatch(text) else None
