"""Celery deliveries that are signed: a real worker signs, and the example's consumer refuses everything else."""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest
from celery import Celery
from kombu import Connection

from schemas.enqueue import EnqueueRequest
from tests.support.paths import ROOT
from tests.support.rabbitmq import installed
from tests.support.waiting import until
from worker import signatures
from worker.client import verify
from worker.decisions.delivery import Outgoing
from worker.errors import SignatureRefused
from worker.signatures import Signer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.acceptance.fleet import Fleet
    from tests.support.rabbitmq import RabbitMQ

pytestmark = pytest.mark.timeout(240)

EXAMPLE: Final = ROOT / "examples" / "celery_pipeline"
SIGNATURE: Final = ("webhook-id", "webhook-timestamp", "webhook-signature")

#: What a writer of JSON may write in more than one way.
CONTEXT: Final = {"z": "José × 😀", "a": [1.0, 1e-7, 12345678901234567890, None], "": {"b": True}}


@dataclass(frozen=True, slots=True)
class Message:
    """A message of the queue: the name and the id of its task, the headers of its signature, and its decision."""

    task: str
    id: str
    headers: dict[str, str]
    decision: dict[str, Any]


@pytest.fixture
def key() -> str:
    return signatures.format_private_key(signatures.new_private_key())


def taken(fleet: Fleet) -> dict[str, Message]:
    """Take all messages of the pipeline's queue, by signature id."""
    found: dict[str, Message] = {}
    url = fleet.broker_url or fleet.redis_url
    with Connection(url) as connection, connection.SimpleQueue("onboarding") as queue:
        while True:
            try:
                message = queue.get_nowait()
            except queue.Empty:
                return found
            headers, decision = message.headers, message.payload[1]["decision"]
            signature: dict[str, str] = {name: headers[name] for name in SIGNATURE if name in headers}
            found[decision["signature_id"]] = Message(headers["task"], headers["id"], signature, decision)
            message.ack()


def decided(fleet: Fleet, key: str, *names: str) -> dict[str, Message]:
    """What a worker with this key delivers for verifications."""
    fleet.environment["EKYC_SIGNING_KEY"] = key
    fleet.ledger().enqueue([EnqueueRequest(name, "ph", json.dumps(CONTEXT)) for name in names])
    fleet.worker()
    fleet.await_done(len(names))
    return taken(fleet)


class Consumer:
    """The example, as a process of its own."""

    def __init__(self, fleet: Fleet, keys: str) -> None:
        self._fleet = fleet
        self._database = fleet.folder / "decisions.sqlite"
        command = ["-m", "celery", "--workdir", str(EXAMPLE), "-A", "pipeline", "worker"]
        options = ["-Q", "onboarding", "-n", "pipeline@test", "-P", "solo", "-l", "INFO"]
        environment = {
            "BROKER_URL": fleet.redis_url,
            "WEBHOOK_PUBLIC_KEYS": keys,
            "DATABASE": str(self._database),
        }
        fleet.spawn([sys.executable, *command, *options], "pipeline", environment)
        until(lambda: "ready." in self.log, "the pipeline is ready")

    @property
    def log(self) -> str:
        return self._fleet.log("pipeline")

    def recorded(self) -> dict[str, tuple[str, Any]]:
        database = sqlite3.connect(self._database)
        rows = database.execute("SELECT id, decision, context FROM decisions").fetchall()
        database.close()
        return {row[0]: (row[1], json.loads(row[2])) for row in rows}

    def refused(self) -> list[str]:
        return [
            line.rpartition("refused a decision: ")[2]
            for line in self.log.splitlines()
            if "refused a dec" in line
        ]


def send(fleet: Fleet, messages: Sequence[Message]) -> None:
    """Anyone who can write to the broker."""
    with Celery("writer", broker=fleet.redis_url) as app:
        for each in messages:
            app.send_task(
                each.task,
                kwargs={"decision": each.decision},
                task_id=each.id,
                headers=each.headers,
                queue="onboarding",
            )


def public(key: str) -> str:
    return "\n".join(map(signatures.format_public_key, signatures.public_keys(key)))


def test_the_example_takes_what_the_fleet_signed_and_nothing_else(fleet: Fleet, key: str) -> None:
    names = ("pass-1", "CARD_NOT_FOUND-2", "ID_FORGERY_DETECTED-3")
    genuine = decided(fleet, key, *names)
    approve, recapture, reject = (genuine[name] for name in names)
    assert [each.task.rpartition(".")[2] for each in (approve, recapture, reject)] == [
        "approve",
        "recapture",
        "reject",
    ]
    assert all(set(each.headers) == set(SIGNATURE) for each in genuine.values())
    assert all(each.headers["webhook-id"] == each.id == each.decision["id"] for each in genuine.values())

    other = Signer(private_keys=[signatures.new_private_key()])
    body = signatures.task_body(reject.task, reject.decision)
    forged = other.headers(reject.id, int(time.time()), body)
    old = dict(reject.decision, decided_at="2020-01-01T00:00:00.000Z")
    fleets = signatures.key_signer(key)
    assert fleets is not None
    stale = Outgoing(reject.id, "reject", json.dumps(old)).signature(reject.task, fleets)
    changed = dict(reject.decision, decision="approve")
    attacks = {
        "MISSING_HEADER": [
            Message(reject.task, reject.id, {}, reject.decision),
            Message(reject.task, reject.id, {**reject.headers, "webhook-signature": ""}, reject.decision),
        ],
        "WRONG_SIGNATURE": [
            Message(reject.task, reject.id, forged, reject.decision),
            Message(reject.task, reject.id, reject.headers, changed),
            Message(reject.task, reject.id, reject.headers, dict(reject.decision, context=None)),
            # A genuine decision, sent to the task of another decision.
            Message(approve.task, reject.id, reject.headers, reject.decision),
            # The signature of another decision.
            Message(reject.task, reject.id, approve.headers, reject.decision),
            # A genuine message under another id of a task.
            Message(reject.task, approve.id, reject.headers, reject.decision),
            Message(reject.task, reject.id, {**reject.headers, "webhook-id": approve.id}, reject.decision),
        ],
        "STALE_TIMESTAMP": [Message(reject.task, reject.id, stale, old)],
        "MALFORMED_HEADER": [
            Message(reject.task, reject.id, {**reject.headers, "webhook-timestamp": "now"}, reject.decision)
        ],
    }
    expected = [reason for reason, messages in attacks.items() for _ in messages]
    send(fleet, [message for messages in attacks.values() for message in messages])
    # Twice: a broker delivers at least once.
    send(fleet, [approve, recapture, approve])
    consumer = Consumer(fleet, public(key))
    until(lambda: consumer.log.count(": known") >= 1, "the pipeline has read everything")
    assert consumer.refused() == expected
    assert consumer.recorded() == {
        approve.id: ("approve", CONTEXT),
        recapture.id: ("recapture", CONTEXT),
    }


def test_a_second_delivery_has_the_same_signature(fleet: Fleet, key: str) -> None:
    """It depends on the decision alone, so all of a second delivery is the same, not only its body."""
    first = decided(fleet, key, "pass-1", "CARD_NOT_FOUND-2")
    again = fleet.run("worker.cli", "redeliver", "--since", "1h", "--yes")
    assert again.returncode == 0, again.stderr
    assert taken(fleet) == first
    unsigned = fleet.run("worker.cli", "redeliver", "--since", "1h", "--yes", EKYC_SIGNING_KEY="")
    assert unsigned.returncode == 2
    assert unsigned.stderr.startswith(
        "ekyc: the workers sign decisions, and here EKYC_SIGNING_KEY is not set"
    )
    assert taken(fleet) == {}
    report = json.loads(fleet.run("worker.cli", "doctor", "--json", EKYC_SIGNING_KEY="").stdout)
    (finding,) = (each for each in report["checks"] if each["check"] == "fleet signing keys")
    assert finding["said"] == f"workers: 1 with {signatures.key_ids(key)}; here it is none"
    report = json.loads(fleet.run("worker.cli", "doctor", "--json").stdout)
    assert "fleet signing keys" not in {each["check"] for each in report["checks"]}


def test_during_a_rotation_the_old_and_the_new_key_verify(fleet: Fleet, key: str) -> None:
    newer = signatures.format_private_key(signatures.new_private_key())
    messages = list(decided(fleet, f"{newer}\n{key}", "pass-1").values())
    assert messages[0].headers["webhook-signature"].count("v1a,") == 2
    send(fleet, messages)
    consumer = Consumer(fleet, public(key))
    until(
        lambda: ": new" in consumer.log or consumer.refused(), "the pipeline with the old key has an answer"
    )
    assert list(consumer.recorded()) == [messages[0].id]


def test_without_a_key_nothing_is_signed(fleet: Fleet) -> None:
    (message,) = decided(fleet, "", "pass-1").values()
    assert message.headers == {}


def test_a_worker_with_a_key_that_cannot_be_read_does_not_start(fleet: Fleet, key: str) -> None:
    done = fleet.run("celery", "-A", "worker", "worker", EKYC_SIGNING_KEY=key[:-8])
    assert done.returncode == 2
    assert "EKYC_SIGNING_KEY: a private key has 32 or 64 bytes, this one has 60" in done.stderr
    assert key[5:20] not in done.stderr + done.stdout


@pytest.mark.skipif(not installed(), reason="RabbitMQ is not installed (Debian: rabbitmq-server)")
def test_a_signature_survives_rabbitmq(fleet: Fleet, key: str, rabbitmq: RabbitMQ) -> None:
    fleet.environment["CELERY_BROKER_URL"] = fleet.broker_url = rabbitmq.url
    (message,) = decided(fleet, key, "pass-1").values()
    name = message.task
    assert verify(message.headers, message.decision, keys=public(key), name=name) == message.id
    with pytest.raises(SignatureRefused):
        verify(message.headers, dict(message.decision, polls=9), keys=public(key), name=name)
