"""What is decided, and what is kept, where the course of one verification alone matters: no processes of their own."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import redis as redis_py
from celery import Celery

from sandbox.catalogue import catalogue
from sandbox.faults import Faults, Mode
from schemas.decision import load_decision
from worker.advance.answers import Settled
from worker.client import enqueue
from worker.ledger import transitions
from worker.ledger.models import EvidenceState, Stage
from worker.ledger.transitions import Heard
from worker.runtime.services import services
from worker.testing import LocalFleet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.ledger.models import Batch, Verification

PH: dict[str, object] = {"ADVANCE_REGIONS": "ph"}


@pytest.fixture
def fleet() -> Iterator[LocalFleet]:
    with LocalFleet(settings=PH) as fleet:
        yield fleet


def events(fleet: LocalFleet, signature_id: str) -> list[str]:
    return [event.name for event in fleet.status(signature_id, "ph").timeline]


def test_every_scenario_of_the_sandbox_ends_as_its_catalogue_says(fleet: LocalFleet) -> None:
    """Side by side, as they meet in a region: those that hold it or trip the breaker change nothing for the others."""
    # A poll of `slowdrip` takes 10 s, whatever the clock of the ledger says.
    entries = {
        f"{entry.id_prefix}-1": entry for entry in catalogue() if entry.demo and entry.id_prefix != "slowdrip"
    }
    for signature_id in entries:
        enqueue(signature_id, "ph")
    # The evidence that is tried for a day more is not of interest here.
    decided = {each.signature_id: each.decision for each in fleet.drain(for_s=7300, timeout_s=90)}
    quarantined = {each.signature_id for each in fleet.quarantined()}
    assert decided.keys() | quarantined == entries.keys()
    faults = [
        (signature_id, name, decided[signature_id][name])
        for signature_id, entry in entries.items()
        if entry.expect.outcome == "decided"
        for name in ("decision", "overall_result", "error_code", "reason")
        if decided[signature_id][name] != getattr(entry.expect, name)
    ]
    assert faults == []
    assert quarantined == {name for name, entry in entries.items() if entry.expect.outcome == "quarantined"}
    assert {
        name: entry.expect.evidence_complete
        for name, entry in entries.items()
        if entry.expect.evidence_complete is not None
        and decided[name]["evidence"]["complete"] != entry.expect.evidence_complete
    } == {}


# The deadline.


def test_the_last_poll_is_made_at_the_deadline() -> None:
    """The countdown would have been longer: a result that is there at the deadline is not missed."""
    countdowns = {"EKYC_POLL_DEADLINE": 1200, "EKYC_POLL_FIRST": 3600, "EKYC_POLL_CAP": 3600}
    with LocalFleet(settings=PH | countdowns) as fleet:
        enqueue("pass-n1-1", "ph")
        (message,) = fleet.drain()
        assert (message.task, message.decision["polls"]) == ("onboarding.approve", 2)
        assert 1100 < fleet.skipped_s < 1210


# Links that died while the vendor may not be asked for fresh ones.

DEAD = "pass-imgexpired-1"


def claimed(*signature_ids: str) -> tuple[Batch, list[Verification]]:
    """A batch of these, loaded by nobody but the test."""
    for signature_id in signature_ids:
        enqueue(signature_id, "ph")
    (batch,) = services().ledger.claim("ph", limit=len(signature_ids)).batches
    return batch, services().ledger.load(batch)


def settle(batch: Batch, verifications: list[Verification]) -> None:
    """Polled, PASS, and due to be archived: what a crash after the poll leaves."""
    ledger, heard = services().ledger, Heard("result")
    ledger.record(
        batch,
        [
            transitions.settle(one, heard, overall_result="PASS", error_code="SUCCESS")
            for one in verifications
        ],
    )
    archiving = replace(batch, stage=Stage.ARCHIVING)
    ledger.record(archiving, [transitions.release(one) for one in ledger.load(archiving)])


def settled_with_dead_links() -> None:
    batch, verifications = claimed(DEAD)
    answer = services().client.get_result("ph", DEAD)
    assert isinstance(answer, Settled)
    services().evidence.of("ph", DEAD).keep_answer(answer.raw)
    settle(batch, verifications)


def test_a_short_rest_is_waited_for(fleet: LocalFleet) -> None:
    settled_with_dead_links()
    services().ledger.hold("ph", for_s=5, reason="VENDOR_DOWN")
    assert len(fleet.drain()) == 1
    assert fleet.status(DEAD, "ph").verification.evidence is EvidenceState.COMPLETE
    assert events(fleet, DEAD) == ["settled", "archived", "decided", "delivered"]


def test_a_long_rest_keeps_no_decision_back(fleet: LocalFleet) -> None:
    settled_with_dead_links()
    services().ledger.hold("ph", for_s=600, reason="INSUFFICIENT_BALANCE")
    assert len(fleet.drain(for_s=0)) == 1
    assert fleet.status(DEAD, "ph").verification.evidence is EvidenceState.PENDING
    assert events(fleet, DEAD) == ["settled", "decide_first", "decided", "delivered"]


def test_a_vendor_that_is_busy_for_a_moment_is_asked_for_links_again(fleet: LocalFleet) -> None:
    settled_with_dead_links()
    fleet.vendor.set_faults(Faults(Mode.BUSY, retry_after_s=2))
    assert fleet.drain(for_s=0) == []
    assert fleet.counts("ph").holds_begun
    fleet.vendor.set_faults(Faults())
    assert len(fleet.drain()) == 1
    assert fleet.status(DEAD, "ph").verification.evidence is EvidenceState.COMPLETE
    assert events(fleet, DEAD) == ["settled", "archived", "decided", "delivered"]


# Evidence.


def test_evidence_that_is_gone_is_asked_for_again_and_otherwise_goes_to_a_person(fleet: LocalFleet) -> None:
    """Settled, though nothing is kept: as on a volume that was restored without it."""
    settle(*claimed("pass-1", "code-SIGNATURE_NOT_EXIST-always-2"))
    (message,) = fleet.drain()
    assert fleet.counts("ph").quarantine == {"EVIDENCE_LOST": 1}
    assert fleet.counts("ph").done == 1
    decision = load_decision(message.decision)
    assert (decision.signature_id, decision.decision, decision.evidence.complete) == (
        "pass-1",
        "approve",
        True,
    )
    assert events(fleet, "pass-1") == ["settled", "fault", "settled", "archived", "decided", "delivered"]
    assert (fleet.evidence / "ph" / "pass-1" / "answer.json").exists()


def test_a_vendor_that_answers_ends_the_trial_though_its_answer_cannot_be_kept(fleet: LocalFleet) -> None:
    """One verification probes the vendor: a fault of our own store does not make that probe fail."""
    # The store takes a probe, so that the vendor is asked.
    (fleet.evidence / "ph").touch()
    assert (fleet.evidence / "ph").is_file()
    with redis_py.Redis.from_url(fleet.redis_url) as redis:
        redis.hset("ekyc:{ph}:health", mapping={"trips": 1, "reason": "VENDOR_DOWN"})
        enqueue("pass-1", "ph")
        assert fleet.drain(for_s=0) == []
        assert fleet.counts("ph").faults["EVIDENCE_UNAVAILABLE"]
        assert not redis.exists("ekyc:{ph}:health")


def test_an_image_host_that_comes_back_delays_the_decision_by_its_countdown_alone() -> None:
    """What is archived at a later try is decided there and then, and not when some lease has lapsed."""
    with LocalFleet(settings=PH | {"EKYC_LEASE": 60}) as fleet:
        enqueue("img503x2-1", "ph")
        assert len(fleet.drain()) == 1
        assert fleet.counts("ph").done == 1
        assert "fault" in events(fleet, "img503x2-1")
        assert "lease_expired" not in events(fleet, "img503x2-1")


# What pipelines attach.


@pytest.mark.parametrize("send", ["celery", "client"])
def test_a_uuid_a_decimal_and_a_date_in_the_context_come_back_as_text(fleet: LocalFleet, send: str) -> None:
    one = uuid.uuid4()
    context: dict[str, Any] = {
        "ref": one,
        "sum": Decimal("1.10"),
        "at": datetime(2026, 11, 29, tzinfo=UTC),
        "on": [one],
    }
    if send == "celery":
        Celery("p", broker=fleet.redis_url).send_task(
            "tasks.enqueue", kwargs={"signature_id": "pass-1", "region": "ph", "context": context}
        )
    else:
        enqueue("pass-1", "ph", context)
    (message,) = fleet.drain()
    assert message.decision["context"] == {
        "ref": str(one),
        "sum": "1.10",
        "at": "2026-11-29T00:00:00+00:00",
        "on": [str(one)],
    }
