"""A RabbitMQ that cannot be used, where Debian's package is installed: the doctor names what it said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.ports import free_port
from tests.support.rabbitmq import installed
from worker.cli.checks import broker
from worker.settings import Settings

if TYPE_CHECKING:
    from tests.support.rabbitmq import RabbitMQ

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(not installed(), reason="RabbitMQ is not installed (Debian: rabbitmq-server)"),
]

SECRET = "hush"


def said(url: str) -> str:
    found = next(broker.check_broker(Settings(broker_url=url)))
    assert SECRET not in str(found)
    return f"{found.level}: {found.said} -> {found.todo}"


def test_the_doctor_names_what_rabbitmq_said(rabbitmq: RabbitMQ, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "TIMEOUT_S", 2)
    assert said(rabbitmq.url).startswith("ok: ")
    host = rabbitmq.url.partition("@")[2].removesuffix("//")
    assert "refuses our password" in said(f"amqp://guest:{SECRET}@{host}//")
    assert "refuses the virtual host" in said(f"amqp://guest:guest@{host}/{SECRET}")
    assert "TLS" in said(f"amqps://guest:{SECRET}@{host}//")
    assert "does not speak the protocol of Redis" in said(f"redis://:{SECRET}@{host}/0")
    assert "connection refused" in said(f"amqp://guest:{SECRET}@127.0.0.1:{free_port()}//")
