"""Task events that a worker has buffered when its connection to the broker breaks."""

from __future__ import annotations

from types import SimpleNamespace

from celery import Celery

from worker.runtime.consumer import Consumer


def test_buffered_events_survive_a_new_connection() -> None:
    """Celery's next dispatcher takes over only what it could not send, not what it has not tried to send."""
    with Celery(broker="memory://") as app:
        before, after = (app.events.Dispatcher(enabled=False, buffer_group=["task"]) for _ in range(2))
        before.enabled = True
        before.send("task-started", uuid="1")
        before.send("task-succeeded", uuid="1")
        Consumer._keep_events(SimpleNamespace(event_dispatcher=before))  # type: ignore[arg-type]
        after.extend_buffer(before)
        ((events, key),) = after._outbound_buffer
        assert [event["type"] for event in events] == ["task-started", "task-succeeded"]
        assert key == "task.multi"
        before.flush()
        assert len(before._outbound_buffer) == 1


def test_a_consumer_without_a_connection_has_none_to_keep() -> None:
    Consumer._keep_events(SimpleNamespace(event_dispatcher=None))  # type: ignore[arg-type]
