"""The pipeline's queue on a RabbitMQ that does not know it, or cannot reach it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from amqp.exceptions import AccessRefused, NotFound
from structlog.testing import capture_logs

from worker.decisions import delivery
from worker.messaging import queues

GONE = "NOT_FOUND - no queue 'onboarding' in vhost '/'"


def channel(text: str) -> Any:
    """A channel of RabbitMQ that answers each passive declaration with a 404."""

    def queue_declare(name: str, **_: object) -> None:
        raise NotFound(text, (50, 10), reply_code=404)

    client = SimpleNamespace(
        transport=SimpleNamespace(driver_type="amqp"),
        as_uri=lambda: "amqp://rabbit.example//",
        declared_entities=set[str](),
    )
    probe = SimpleNamespace(queue_declare=queue_declare, close=lambda: None)
    return SimpleNamespace(connection=SimpleNamespace(client=client, channel=lambda: probe))


@pytest.mark.parametrize(
    ("text", "is_gone"),
    [
        (GONE, True),
        (
            "NOT_FOUND - home node 'rabbit@b' of durable queue 'onboarding' in vhost '/' is down or inaccessible",
            False,
        ),
        ("NOT_FOUND - queue 'onboarding' in vhost '/' process is stopped by supervisor", False),
        ("", False),
    ],
)
def test_a_queue_whose_node_is_down_is_not_gone(text: str, *, is_gone: bool) -> None:
    """What lies in it comes back with the node, so nothing must be sent again."""
    assert queues.is_gone(delivery.QUEUE, channel(text)) is is_gone


def test_a_queue_that_is_gone_and_may_not_be_declared_is_logged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise AccessRefused("ACCESS_REFUSED", (50, 10), reply_code=403)

    monkeypatch.setattr(delivery, "_used_brokers", {"amqp://rabbit.example//"})
    monkeypatch.setattr(queues, "ensure", refused)
    producer: Any = SimpleNamespace(channel=channel(GONE))
    with capture_logs() as lines:
        for _ in range(3):
            with pytest.raises(AccessRefused):
                delivery._ensure(producer)
    assert [each["event"] for each in lines] == ["decision_queue_gone"]
