"""A worker of ours never takes the pipeline's decisions off their queue, whichever way it is asked to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery
from kombu import Connection

from schemas.decision import decision_id
from schemas.enqueue import EnqueueRequest
from tests.support.rabbitmq import installed
from tests.support.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.fleet import Fleet
    from tests.support.rabbitmq import RabbitMQ

pytestmark = pytest.mark.timeout(240)

WORKER = ("celery", "-A", "worker", "worker", "-n", "w1@test", "-l", "INFO")


def refused(fleet: Fleet, *options: str, **environment: str) -> list[str]:
    """What a worker prints that ends by itself before it is ready; it must end with 2."""
    worker = fleet.start(*WORKER, *options, name="refused", **environment)
    until(lambda: worker.poll() is not None or "ready." in fleet.log("refused"), "the worker decides")
    assert worker.poll() == 2, fleet.log("refused")
    lines = fleet.log("refused").splitlines()
    assert "Traceback" not in fleet.log("refused")
    return lines


def test_the_pipelines_queue_is_refused_as_our_own(fleet: Fleet) -> None:
    (line,) = refused(fleet, EKYC_QUEUE="onboarding")
    assert line.startswith("ekyc: EKYC_QUEUE: ")
    assert "onboarding" in line
    done = fleet.run("worker.cli", "doctor", EKYC_QUEUE="onboarding")
    assert done.returncode == 1
    assert "EKYC_QUEUE: " in done.stdout


@pytest.mark.parametrize(
    ("options", "environment"),
    [
        (("-Q", "celery,onboarding"), {}),
        (("--queues=onboarding",), {}),
        (("--purge", "-Q", " onboarding "), {}),
        # One of the lists into which kombu divides a queue on Redis.
        (("-Q", "celery,onboarding\x06\x163"), {}),
        ((), {"CELERY_WORKER_QUEUES": "celery,onboarding"}),
    ],
)
def test_the_pipelines_queue_is_refused_on_the_command_line(
    fleet: Fleet, options: tuple[str, ...], environment: dict[str, str]
) -> None:
    pipeline = Celery("p", broker=fleet.redis_url, set_as_current=False)
    pipeline.send_task("onboarding.approve", kwargs={"decision": {}}, queue="onboarding")
    (line,) = refused(fleet, *options, **environment)
    assert line.startswith("ekyc: a worker must not consume the queue onboarding")
    with fleet.redis() as redis:
        assert redis.llen("onboarding") == 1


def test_the_pipelines_queue_is_refused_in_an_application_that_extends_ours(
    fleet: Fleet, tmp_path: Path
) -> None:
    """By its real name: Celery knows a queue by an alias, too."""
    (tmp_path / "theirs.py").write_text(
        "from kombu import Queue\nfrom worker.runtime.app import app\n"
        "app.conf.task_queues = [Queue('celery'), Queue('onboarding', alias='mine')]\n"
    )
    worker = fleet.start("celery", "-A", "theirs", "worker", name="theirs", PYTHONPATH=str(tmp_path))
    until(lambda: worker.poll() is not None or "ready." in fleet.log("theirs"), "the worker decides")
    assert worker.poll() == 2, fleet.log("theirs")
    said = [line for line in fleet.log("theirs").splitlines() if line.startswith("ekyc: ")]
    (line,) = [line for line in said if not line.startswith("ekyc: warning: ")]
    assert line.startswith("ekyc: a worker must not consume the queue onboarding")


def test_a_broadcast_to_consume_the_pipelines_queue_is_refused(fleet: Fleet) -> None:
    worker = fleet.worker()
    fleet.ledger().enqueue([EnqueueRequest("pass-1", "ph")])
    fleet.await_done(1)
    with Celery("operator", broker=fleet.redis_url, set_as_current=False) as app:
        # By name, so that each ends with the reply instead of with its timeout.
        to: dict[str, Any] = {"destination": ["w1@test"], "reply": True, "timeout": 30}
        (reply,) = app.control.add_consumer("onboarding", **to) or []
        (other,) = app.control.add_consumer("elsewhere", **to) or []
    assert "must not consume the queue onboarding" in reply["w1@test"]["error"]
    assert "ok" in other["w1@test"]
    until(lambda: "elsewhere" in fleet.log("w1"), "another queue is consumed")
    (decision,) = fleet.delivered()
    assert decision["id"] == decision_id("ph", "pass-1")
    assert worker.poll() is None
    assert "queue_refused" in fleet.log("w1")


def misplaced(broker_url: str, name: str) -> dict[str, Any]:
    """Put a decision on our own queue, as a pipeline that forwards to the wrong one does; returns it."""
    message = {"decision": {"id": name, "context": {"name": "José"}}}
    with Celery("p", broker=broker_url, set_as_current=False) as pipeline:
        pipeline.send_task("onboarding.approve", kwargs=message, task_id=name, queue="celery")
    return {"task": "onboarding.approve", "id": name, **message}


def test_a_decision_on_our_own_queue_is_sent_on_to_the_pipelines(fleet: Fleet) -> None:
    fleet.worker()
    sent = [misplaced(fleet.redis_url, f"d-{number}") for number in range(3)]
    with fleet.redis() as redis:
        until(lambda: redis.llen("onboarding") == 3, "all are sent on")
        until(lambda: not redis.exists("unacked", "celery"), "none stays")
    assert sorted(fleet.delivered(), key=lambda each: str(each["id"])) == sent
    assert "decision_sent_on" in fleet.log("w1")
    assert "José" not in fleet.log("w1")


def test_a_decision_that_cannot_be_sent_on_stays(fleet: Fleet) -> None:
    """It waits with us until the pipeline's queue can be written again."""
    with fleet.redis() as redis:
        redis.set("onboarding", "no list")
        fleet.worker()
        sent = misplaced(fleet.redis_url, "d-1")
        until(lambda: "decision_not_sent_on" in fleet.log("w1"), "it was tried")
        redis.delete("onboarding")
        until(lambda: redis.llen("onboarding") == 1, "it is sent on")
    assert fleet.delivered() == [sent]
    assert "WRONGTYPE" in fleet.log("w1")


@pytest.mark.skipif(not installed(), reason="RabbitMQ is not installed (Debian: rabbitmq-server)")
def test_on_rabbitmq_a_decision_on_our_own_queue_is_sent_on(fleet: Fleet, rabbitmq: RabbitMQ) -> None:
    fleet.environment["CELERY_BROKER_URL"] = fleet.broker_url = rabbitmq.url
    fleet.worker()
    sent = misplaced(rabbitmq.url, "d-1")
    until(lambda: "decision_sent_on" in fleet.log("w1"), "it is sent on")
    assert fleet.delivered() == [sent]
    with Connection(rabbitmq.url) as connection:
        left = connection.default_channel.queue_declare("celery", passive=True)  # type: ignore[attr-defined]
    assert json.dumps(left.message_count) == "0"
