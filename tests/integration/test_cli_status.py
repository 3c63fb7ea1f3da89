"""`ekyc status`: what became of one verification, told from a real ledger."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from schemas.enqueue import EnqueueRequest
from worker.ledger import Ledger, Quarantine, transitions
from worker.ledger.models import Batch, EvidenceState, Stage
from worker.ledger.transitions import Heard

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

    from tests.support.cli_process import Ekyc
    from worker.ledger.models import Status, Verification
    from worker.ledger.transitions import Transition

SECRET = "Juan dela Cruz"
DECISION = {
    "id": "6f2e1b7e-95a4-5d0c-8a3e-1f1f6c1d2b3a",
    "decision": "approve",
    "evidence": {"url": "s3://kept/ph/one", "complete": True},
    "context": {"name": SECRET},
}


class Desk:
    """Moves the verification `one` of `ph` through a ledger, as a worker would."""

    def __init__(self, redis: Redis) -> None:
        self.ledger = Ledger(redis, worker="7@desk")
        self.ledger.enqueue([EnqueueRequest("one", "ph", json.dumps({"name": SECRET}))])

    def write(self, *steps: Callable[[Verification], Transition]) -> None:
        """Claim it, and make a write at each of its stages."""
        (batch,) = self.ledger.claim("ph", limit=1).batches
        for step in steps:
            (one,) = self.ledger.load(batch)
            write = step(one)
            assert all(how.written for how in self.ledger.record(batch, [write]))
            batch = replace(batch, stage=write.stage)

    def deliver(self, one: Verification) -> Transition:
        """Fix the decision, and return the write that is next."""
        batch = Batch(self.status().batch_id or "", "ph", Stage.ROUTING, ("one",))
        decided = transitions.decide(one, name="approve", decision=json.dumps(DECISION))
        assert all(how.written for how in self.ledger.record(batch, [decided]))
        return transitions.delivered(one, name="approve")

    def status(self) -> Status:
        status = self.ledger.status("ph", "one")
        assert status is not None
        return status


@pytest.fixture
def ekyc(ekyc: Ekyc) -> Ekyc:
    return ekyc.with_env(ADVANCE_REGIONS="ph", EKYC_EVIDENCE_URL="s3://kept/")


@pytest.fixture
def desk(redis: Redis) -> Desk:
    return Desk(redis)


def story(ekyc: Ekyc) -> tuple[str, dict[str, Any]]:
    """The text and the JSON of `one`. Neither tells the pipeline's context."""
    text, machine = ekyc("status", "one"), ekyc("status", "one", "--json")
    assert (text.code, machine.code, text.err, machine.err) == (0, 0, "", "")
    assert SECRET not in text.out + machine.out
    document: dict[str, Any] = json.loads(machine.out)
    return text.out, document


def test_an_id_that_nobody_knows_is_one_line_and_status_1(ekyc: Ekyc, desk: Desk) -> None:
    for arguments in (["two"], ["one", "--region", "sg"]):
        ended = ekyc("status", *arguments)
        assert (ended.code, ended.out, len(ended.err_lines)) == (1, "", 1)
        assert "the ledger does not know this id in" in ended.err


def test_an_id_that_a_replaced_redis_does_not_know_is_not_said_to_be_unknown_for_good(
    ekyc: Ekyc, desk: Desk, redis: Redis
) -> None:
    redis.set("ekyc:{ph}:ledger:replaced", "fe71804233837cec||1796072099398")
    ended = ekyc("status", "two")
    assert (ended.code, len(ended.err_lines)) == (1, 1)
    assert "Redis was replaced, so it may have been in the old one: see `ekyc doctor`" in ended.err
    assert "never enqueued" not in ended.err


def test_of_several_regions_the_one_that_knows_the_id_is_shown(ekyc: Ekyc, desk: Desk) -> None:
    ended = ekyc.with_env(ADVANCE_REGIONS="sg,ph")("status", "one", "--json")
    assert (ended.code, json.loads(ended.out)["region"]) == (0, "ph")


def test_one_that_was_just_enqueued_waits_for_a_worker(ekyc: Ekyc, desk: Desk) -> None:
    text, document = story(ekyc)
    assert text.startswith("ph/one: waits to be polled, due since ")
    assert document["stage"] == "polling"
    assert document["due_at"] == document["enqueued_at"]
    assert document["evidence"] == {"url": None, "state": None}
    assert (document["decision"], document["settled_at"], document["timeline"]) == (None, None, [])


def test_one_in_its_countdown_says_when_it_is_due_and_what_was_answered(ekyc: Ekyc, desk: Desk) -> None:
    heard = Heard("pending", "d3fde1547eeaf226", nulls=1, submitted=True)
    desk.write(lambda one: transitions.repoll(one, heard, in_s=630, event="submitted"))

    text, document = story(ekyc)

    assert text.startswith("ph/one: waits to be polled, due in 10 min ")
    assert "transaction id  d3fde1547eeaf226" in text
    assert (document["polls"], document["nulls"], document["submission_completed"]) == (1, 1, True)
    (event,) = document["timeline"]
    assert (event["event"], event["worker"]) == ("submitted", "7@desk")


def test_a_region_that_rests_is_named_with_its_reason(ekyc: Ekyc, desk: Desk) -> None:
    desk.ledger.hold("ph", for_s=600, reason="VENDOR_BUSY")
    text, document = story(ekyc)
    # No lack of workers, then.
    assert ": its region is on hold\n" in text
    assert "more (VENDOR_BUSY)" in text
    assert document["hold"]["reason"] == "VENDOR_BUSY"


def test_one_that_is_being_worked_on_names_its_batch_and_for_how_long_at_most(ekyc: Ekyc, desk: Desk) -> None:
    (batch,) = desk.ledger.claim("ph", limit=1).batches
    text, document = story(ekyc)
    assert text.startswith("ph/one: a worker processes it (polling), for at most ")
    assert (document["batch"], document["due_at"]) == (batch.id, None)
    assert document["leased_until"] > document["now"]


def test_one_that_is_done_tells_its_whole_way_and_its_decision_without_the_context(
    ekyc: Ekyc, desk: Desk
) -> None:
    heard = Heard("result", "d3fde1547eeaf226", submitted=True)
    desk.write(
        lambda one: transitions.settle(one, heard, overall_result="PASS", error_code="SUCCESS"),
        lambda one: transitions.archived(one, EvidenceState.COMPLETE, files=3, size_bytes=9000),
        desk.deliver,
    )

    text, document = story(ekyc)

    assert text.startswith("ph/one: done\n")
    assert "result          PASS SUCCESS" in text
    assert "decision        approve" in text
    assert "evidence        s3://kept/ph/one (complete)" in text
    told = [line.split()[3] for line in text.splitlines() if line.startswith("  20")]
    assert told == ["enqueued", "settled", "archived", "decided", "delivered"]
    assert document["stage"] == "done"
    assert document["decision"] == {name: value for name, value in DECISION.items() if name != "context"}
    assert document["evidence"] == {"url": "s3://kept/ph/one", "state": "complete"}
    assert document["settled_at"] >= document["enqueued_at"]


def test_one_in_quarantine_says_why_and_where_the_evidence_lies(ekyc: Ekyc, desk: Desk) -> None:
    desk.write(lambda one: transitions.quarantine(one, reason="UNREADABLE", detail="data.overallResult"))
    text, document = story(ekyc)
    assert text.startswith("ph/one: in quarantine (UNREADABLE): a person must look at it\n")
    assert (document["stage"], document["quarantine_reason"]) == ("quarantined", "UNREADABLE")
    assert document["evidence"]["url"] == "s3://kept/ph/one"
    assert [event["event"] for event in document["timeline"]] == ["refused", "quarantined"]


def test_one_that_was_retried_says_since_when_its_deadline_counts(
    ekyc: Ekyc, desk: Desk, redis: Redis
) -> None:
    desk.write(lambda one: transitions.quarantine(one, reason="UNREADABLE"))
    Quarantine(redis, who="maria").retry("ph", ["one"])
    text, document = story(ekyc)
    assert text.startswith("ph/one: waits to be polled, due since ")
    assert re.search(r"^  retried +[0-9.]+ s ago, ", text, re.MULTILINE)
    assert document["quarantine_reason"] is None
    assert document["retried_at"] >= document["enqueued_at"]
    event = document["timeline"][-1]
    assert (event["event"], event["detail"], event["worker"]) == ("retried", "UNREADABLE", "maria")
    assert text.splitlines()[-1].split()[-3:] == ["retried", "UNREADABLE", "maria"]


def test_one_that_was_dropped_says_by_whom_and_why(ekyc: Ekyc, desk: Desk, redis: Redis) -> None:
    desk.write(lambda one: transitions.quarantine(one, reason="UNREADABLE"))
    Quarantine(redis, who="maria").drop("ph", ["one"], why="asked for by the user")
    text, document = story(ekyc)
    assert text.startswith("ph/one: dropped by maria: asked for by the user\n")
    assert (document["stage"], document["decision"]) == ("dropped", None)
    assert document["timeline"][-1]["event"] == "dropped"


def decided_without_an_answer(desk: Desk) -> None:
    """Its deadline has passed: the pipeline was told so, and the vendor is asked on."""

    def deliver(one: Verification) -> Transition:
        desk.deliver(one)
        return transitions.delivered(one, name="review", then=Stage.POLLING)

    desk.write(
        lambda one: transitions.unsettled(one, Heard("pending"), reason="DEADLINE_PASSED", answer_kept=False),
        deliver,
    )


def test_one_that_is_decided_and_still_asked_for_says_both(ekyc: Ekyc, desk: Desk) -> None:
    decided_without_an_answer(desk)
    text, document = story(ekyc)
    assert text.startswith("ph/one: decided, and waits to be polled, due since ")
    assert (document["reason"], document["stage"]) == ("DEADLINE_PASSED", "polling")


def test_an_answer_that_came_late_or_never_is_told(ekyc: Ekyc, desk: Desk) -> None:
    decided_without_an_answer(desk)
    late = Heard("result", submitted=True)
    desk.write(
        lambda one: transitions.settle(one, late, overall_result="PASS", error_code="SUCCESS"),
        lambda one: transitions.archived(one, EvidenceState.COMPLETE, files=3, size_bytes=9000),
    )
    text, document = story(ekyc)
    assert text.startswith("ph/one: done\n")
    assert [event["event"] for event in document["timeline"]][-2:] == ["settled_late", "archived"]
    assert "settled_late   PASS SUCCESS" in text
    assert re.search(r"^ *decided for +DEADLINE_PASSED$", text, re.MULTILINE), text
    assert "contradicted by" not in text


def test_one_that_was_given_up_is_done_and_says_why(ekyc: Ekyc, desk: Desk) -> None:
    decided_without_an_answer(desk)
    desk.write(
        lambda one: transitions.finish(one, Heard("pending"), event="given_up", detail="DEADLINE_PASSED"),
    )
    text, _ = story(ekyc)
    assert text.startswith("ph/one: done\n")
    assert "given_up       DEADLINE_PASSED" in text
