"""`celery -A worker worker` with Redis and a vendor given by environment: what a user sees, process by process."""

from __future__ import annotations

import json
import os
import signal
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery

from schemas.decision import load_decision
from schemas.enqueue import EnqueueRequest
from tests.support.waiting import until
from worker.decisions.table import PACKAGED
from worker.evidence.store import Evidence
from worker.evidence.verification import verify
from worker.ledger.models import Stage

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.fleet import Fleet

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def unforked(fleet: Fleet) -> Fleet:
    """The same fleet, whose processes Python starts, as a user would start them."""
    fleet.forks = False
    return fleet


TASKS = ["tasks.archive_images", "tasks.deliver", "tasks.enqueue", "tasks.get_result", "tasks.route_decision"]


def test_an_enqueued_verification_ends_in_a_delivered_decision_with_its_evidence(unforked: Fleet) -> None:
    """The main job, by `ekyc enqueue` and the queue alone."""
    unforked.worker()
    ids = ["pass-n2-1", "CARD_NOT_FOUND-2", "ID_FORGERY_DETECTED-http500-3"]
    enqueued = unforked.run(
        "worker.cli", "enqueue", *ids, "--region", "ph", "--context", '{"application": 7}'
    )
    assert enqueued.returncode == 0, enqueued.stderr
    unforked.await_done(3)

    messages = {message["decision"]["signature_id"]: message for message in unforked.delivered()}
    assert {name: message["task"] for name, message in messages.items()} == {
        "pass-n2-1": "onboarding.approve",
        "CARD_NOT_FOUND-2": "onboarding.recapture",
        "ID_FORGERY_DETECTED-http500-3": "onboarding.reject",
    }
    decision = load_decision(messages["pass-n2-1"]["decision"])
    assert decision.id == messages["pass-n2-1"]["id"]
    assert decision.context == {"application": 7}
    assert decision.polls == 3
    assert decision.evidence.complete
    assert decision.evidence.url == f"file://{unforked.evidence}/ph/pass-n2-1"
    assert (unforked.evidence / "tables" / f"{decision.table}.toml").read_text() == PACKAGED.read_text()
    evidence = Evidence(unforked.environment["EKYC_EVIDENCE_URL"])
    assert [verify(evidence.of("ph", name)) for name in ids] == [[], [], []]
    status = unforked.run("worker.cli", "status", "pass-n2-1", "--region", "ph", "--json")
    assert json.loads(status.stdout)["stage"] == "done"
    stats = json.loads(unforked.run("worker.cli", "stats", "--json").stdout)
    assert stats["decisions"] == {"approve": 1, "recapture": 1, "reject": 1}


def test_a_pipeline_enqueues_by_celery_name_alone(fleet: Fleet) -> None:
    """A Celery application that knows the broker and a task's name; what it may not send fails and says why."""
    fleet.worker()
    pipeline = Celery("pipeline", broker=fleet.redis_url)
    for name in ("pass-1", "pass-1", "not an id"):
        pipeline.send_task(
            "tasks.enqueue", kwargs={"signature_id": name, "region": "ph", "context": {"n": 1}}
        )
    fleet.await_done(1)
    until(lambda: "must be 1 to 64 of letters" in fleet.log("w1"), "the malformed id is refused")
    assert "not an id" not in fleet.log("w1")
    assert [message["decision"]["context"] for message in fleet.delivered()] == [{"n": 1}]
    assert fleet.stats().counts("ph").enqueued == 1


def test_a_slow_call_does_not_hold_back_the_others_of_its_batch(fleet: Fleet) -> None:
    """One of forty does not answer yet: the others are decided while it is still under way."""
    answers = fleet.hold_slow_answers()
    # The call ends after 10 s. The others have no images, so that they are decided far sooner.
    names = [f"noimages-{number}" for number in range(39)]
    ledger = fleet.ledger()
    ledger.enqueue([EnqueueRequest(name, "ph") for name in ["latency8s-slow", *names]])
    (batch,) = ledger.claim("ph", limit=64).batches
    assert sorted(batch.signature_ids) == sorted(["latency8s-slow", *names])
    fleet.worker(EKYC_LEASE="20")
    with Celery("dispatcher", broker=fleet.redis_url) as dispatcher:
        arguments = (batch.region, batch.id, batch.signature_ids)
        dispatcher.send_task("tasks.get_result", args=arguments, task_id=batch.id)
    fleet.await_done(39)
    status = ledger.status("ph", "latency8s-slow")
    assert status is not None
    assert status.verification.stage is Stage.POLLING
    assert status.batch_id == batch.id
    answers.set()
    fleet.await_done(40)
    assert fleet.vendor.verifications()["latency8s-slow"]["asks"] == 1


def test_a_slow_image_does_not_hold_back_the_others_of_its_batch(fleet: Fleet) -> None:
    images = fleet.hold_slow_answers()
    names = [f"pass-{number}" for number in range(20)]
    fleet.ledger().enqueue([EnqueueRequest(name, "ph") for name in ["imgslow4s-slow", *names]])
    fleet.worker(EKYC_LEASE="20")
    fleet.await_done(20)
    status = fleet.ledger().status("ph", "imgslow4s-slow")
    assert status is not None
    assert status.verification.stage is Stage.ARCHIVING
    assert [event.name for event in status.timeline] == ["settled"], "the time for its images is over"
    images.set()
    fleet.await_done(21)
    assert len(fleet.delivered()) == 21


def test_what_a_killed_worker_held_is_picked_up_by_another(fleet: Fleet) -> None:
    """Promises 1, 2 and 4: `kill -9` in the middle of a batch; every verification still has one decision."""
    first = fleet.worker("w1")
    answers = fleet.hold_slow_answers()
    names = [f"pass-latency3s-{number}" for number in range(30)]
    fleet.ledger().enqueue([EnqueueRequest(name, "ph") for name in names])
    until(lambda: fleet.stats().counts("ph").in_flight, "the batch is under way")
    os.killpg(first.pid, signal.SIGKILL)
    # Not before: a kill between a delivery and its record would make a decision come twice, as it may.
    answers.set()
    fleet.worker("w2")
    fleet.await_done(30)
    delivered = fleet.delivered()
    assert sorted(message["decision"]["signature_id"] for message in delivered) == sorted(names)
    assert len({message["id"] for message in delivered}) == 30


def test_lost_messages_lose_nobody(fleet: Fleet) -> None:
    """Promise 1: the broker's queue is emptied under claimed batches; the leases bring them back."""
    names = [f"pass-{number}" for number in range(10)]
    ledger = fleet.ledger()
    ledger.enqueue([EnqueueRequest(name, "ph") for name in names])
    lost = ledger.claim("ph", limit=64)
    assert len(lost.batches[0].signature_ids) == 10
    fleet.worker(EKYC_LEASE="5")
    # That claim was made with a lease of 20 s: let it lapse.
    with fleet.redis() as redis:
        for member, _ in redis.zscan_iter("ekyc:{ph}:leased"):
            redis.zadd("ekyc:{ph}:leased", {member: 1})
    fleet.await_done(10)
    assert len(fleet.delivered()) == 10


def test_one_token_serves_the_whole_fleet(fleet: Fleet) -> None:
    """Promise 5: two workers, many calls at once, one token."""
    fleet.worker("w1")
    fleet.worker("w2")
    fleet.ledger().enqueue([EnqueueRequest(f"pass-{number}", "ph") for number in range(200)])
    fleet.await_done(200)
    assert fleet.vendor.stats()["tokens_issued"] == 1


def test_the_fleet_rests_when_the_vendor_says_so(fleet: Fleet) -> None:
    """Promise 5: after `Retry-After` nothing of the region is asked until the rest is over; other regions go on."""
    fleet.worker("w1")
    fleet.worker("w2")
    fleet.ledger().enqueue([EnqueueRequest("retryafter60s-1", "ph")])
    (hold,) = until(lambda: fleet.stats().counts("ph").holds, "the region rests")
    assert hold.reason == "VENDOR_BUSY"
    said = until(lambda: lines_of(fleet, "region_held"), "a log says so")
    ends = datetime.fromtimestamp(hold.until_ms / 1000, UTC).isoformat(timespec="seconds")
    assert [(line["region"], line["reason"], line["until"]) for line in said] == [("ph", "VENDOR_BUSY", ends)]
    fleet.ledger().enqueue([EnqueueRequest("pass-2", "ph"), EnqueueRequest("pass-3", "sg")])
    fleet.await_done(1, "sg")
    assert "pass-2" not in fleet.vendor.verifications()
    with fleet.redis() as redis:
        # Let it end in a second, instead of a minute after it began.
        ends_ms = round(time.time() * 1000) + 1_000
        redis.hset("ekyc:{ph}:hold", "until", str(ends_ms))
    fleet.await_done(2)
    first_asked_ms = fleet.vendor.verifications()["pass-2"]["first_asked_at_ms"]
    assert first_asked_ms >= ends_ms - 50


def test_what_an_operator_does_to_a_region_stands_once_in_the_log_of_each_worker(fleet: Fleet) -> None:
    """Why and until when, and that it is over."""
    fleet.worker("w1")
    fleet.worker("w2")
    assert (
        fleet.run(
            "worker.cli", "hold", "ph", "--for", "1h", "--why", "ticket 4711", "--who", "maria"
        ).returncode
        == 0
    )
    until(lambda: len(lines_of(fleet, "region_held")) == 2, "both logs say so")
    (hold,) = fleet.stats().counts("ph").holds
    ends = datetime.fromtimestamp(hold.until_ms / 1000, UTC).isoformat(timespec="seconds")
    for line in lines_of(fleet, "region_held"):
        assert (line["region"], line["reason"], line["until"]) == ("ph", "ticket 4711 (for 3600 s)", ends)
        assert (line["by"], line["level"]) == ("operator", "warning")
    assert fleet.run("worker.cli", "resume", "ph", "--who", "maria").returncode == 0
    until(lambda: len(lines_of(fleet, "region_resumed")) == 2, "both logs say so")
    assert {line["reason"] for line in lines_of(fleet, "region_resumed")} == {"ticket 4711"}
    assert len(lines_of(fleet, "region_held")) == 2
    # Who it was stands in the ledger.
    assert "maria" not in fleet.log("w1") + fleet.log("w2")


def lines_of(fleet: Fleet, event: str) -> list[dict[str, Any]]:
    """What the logs of both workers say of one event."""
    logs = (fleet.log("w1") + fleet.log("w2")).splitlines()
    return [json.loads(line) for line in logs if f'"event": "{event}"' in line]


def test_inspect_lists_the_tasks(fleet: Fleet) -> None:
    fleet.worker()
    # By name: without one it waits for its whole timeout, and as shipped that is 1 s.
    to = ("--destination", "w1@test", "--timeout", "30")
    shown = fleet.run("celery", "-A", "worker", "inspect", "registered", "--json", *to)
    ((_, registered),) = json.loads(shown.stdout).items()
    assert sorted(registered) == TASKS


def test_nothing_personal_leaves_the_evidence_store(fleet: Fleet) -> None:
    """Promise 6: the vendor's person stands in the evidence, and neither in Redis, the logs nor the decisions."""
    fleet.worker()
    fleet.ledger().enqueue(
        [EnqueueRequest(f"{name}-1", "ph") for name in ("pass", "nosigid", "imgexpired", "html")]
    )
    until(lambda: ended(fleet) == 4, "all have ended")
    kept = b"".join(path.read_bytes() for path in fleet.evidence.rglob("*.json"))
    with fleet.redis() as redis:
        dumped = b"".join(b"%b %b" % (name, redis.dump(name) or b"") for name in redis.scan_iter())
    for marker in (b"SANDBOX PERSON", b"/images/"):
        assert marker in kept
        assert marker not in dumped
        assert marker.decode() not in fleet.log("w1")


def ended(fleet: Fleet) -> int:
    counts = fleet.stats().counts("ph")
    return counts.done + counts.quarantined


def test_sigterm_ends_a_worker_with_exit_code_0(unforked: Fleet) -> None:
    worker = unforked.worker()
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=30) == 0
    assert "Traceback" not in unforked.log("w1")


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({"ADVANCE_ACCESS_KEY": ""}, "ekyc: ADVANCE_ACCESS_KEY is not set"),
        ({"ADVANCE_REGIONS": "ph,xx"}, "ekyc: ADVANCE_REGIONS: unknown region"),
        ({"EKYC_EVIDENCE_URL": ""}, "ekyc: EKYC_EVIDENCE_URL is not set"),
        ({"EKYC_EVIDENCE_URL": "ftp://x"}, "ekyc: EKYC_EVIDENCE_URL: give a file:///, s3://"),
        ({"EKYC_DECISIONS_FILE": "/nowhere/table.toml"}, "ekyc: /nowhere/table.toml: cannot be read"),
        ({"REDIS_URL": "http://x"}, "ekyc: REDIS_URL is not a Redis URL"),
        (
            {"CELERY_BROKER_URL": "redis://127.0.0.1:1/0", "EKYC_START_WAIT": "0"},
            "ekyc: the broker does not answer",
        ),
    ],
)
def test_a_worker_that_cannot_work_says_why_in_one_line(
    fleet: Fleet, environment: dict[str, str], line: str
) -> None:
    ended = fleet.run("celery", "-A", "worker", "worker", **environment)
    assert ended.returncode in {1, 2}
    lines = [text for text in ended.stderr.splitlines() if text.startswith("ekyc: ")]
    assert len(lines) == 1, ended.stderr
    assert lines[0].startswith(line)
    assert "Traceback" not in ended.stderr + ended.stdout


def test_a_worker_starts_while_its_evidence_store_is_down_and_says_so(fleet: Fleet) -> None:
    """During an outage of hours workers are killed and restarted, too; nobody should have to start them once more."""
    fleet.evidence.touch()
    fleet.worker()
    lines = [
        line for line in fleet.log("w1").splitlines() if line.startswith("ekyc: evidence cannot be written")
    ]
    assert len(lines) == 1, fleet.log("w1")
    fleet.ledger().enqueue([EnqueueRequest("pass-1", "ph")])
    until(lambda: fleet.stats().counts("ph").faults.get("EVIDENCE_UNAVAILABLE"), "a fault is counted")

    fleet.evidence.unlink()
    fleet.evidence.mkdir()
    fleet.await_delivered(1)
    assert load_decision(fleet.delivered()[0]["decision"]).evidence.complete


def test_a_table_that_would_approve_a_forgery_does_not_start(fleet: Fleet, tmp_path: Path) -> None:
    """Promise 7: a doubtful answer never approves, whatever a file says."""
    table = tmp_path / "table.toml"
    packaged = fleet.run("worker.cli", "--help")
    assert packaged.returncode == 0
    table.write_text(
        'version = "x"\notherwise = "review"\n[[rows]]\ndecision = "approve"\n'
        'overall_result = "FAIL"\nerror_code = "ID_FORGERY_DETECTED"\n'
    )
    ended = fleet.run("celery", "-A", "worker", "worker", EKYC_DECISIONS_FILE=str(table))
    assert ended.returncode == 2
    assert "may not be approve" in ended.stderr


def test_other_pools_are_refused(unforked: Fleet) -> None:
    ended = unforked.run("celery", "-A", "worker", "worker", "-P", "solo")
    assert ended.returncode == 2
    assert "ekyc: a worker needs the threads pool" in ended.stderr


def test_a_kept_answer_that_says_something_else_is_for_a_person(fleet: Fleet) -> None:
    """Promise 7: the ledger was lost, the evidence was not, and the vendor now says otherwise. Nobody is approved."""
    fleet.worker()
    fleet.ledger().enqueue([EnqueueRequest("pass-1", "ph"), EnqueueRequest("CARD_NOT_FOUND-2", "ph")])
    fleet.await_done(2)
    answer = fleet.evidence / "ph" / "CARD_NOT_FOUND-2" / "answer.json"
    forged = answer.read_bytes().replace(b"INCOMPLETE", b"PASS").replace(b"CARD_NOT_FOUND", b"SUCCESS")
    answer.write_bytes(forged.replace(b"SUCCESS-2", b"CARD_NOT_FOUND-2"))
    fleet.delivered()
    with fleet.redis() as redis:
        for name in redis.scan_iter("ekyc:{ph}:*"):
            redis.delete(name)
    fleet.ledger().enqueue([EnqueueRequest("pass-1", "ph"), EnqueueRequest("CARD_NOT_FOUND-2", "ph")])
    assert fleet.run("worker.cli", "ledger", "accept", "--yes").returncode == 0
    fleet.await_done(1)
    until(lambda: fleet.stats().counts("ph").quarantined, "the contradiction is in quarantine")
    assert fleet.stats().counts("ph").quarantine == {"EVIDENCE_CONFLICT": 1}
    assert [message["decision"]["signature_id"] for message in fleet.delivered()] == ["pass-1"]
