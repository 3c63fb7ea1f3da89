"""A `LocalFleet` with keys of evidence."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from schemas.decision import Decision, EvidenceRef, decision_id
from worker.client import enqueue
from worker.evidence.decision_record import DecisionRecord, dump_record
from worker.evidence.store import Evidence
from worker.evidence.verification import verify
from worker.keyring import format_key, new_key
from worker.settings import current
from worker.testing import LocalFleet

if TYPE_CHECKING:
    from collections.abc import Iterator

FORGED = "ID_FORGERY_DETECTED"
FAILED = f"{FORGED}-2"


@pytest.fixture(scope="module")
def fleet() -> Iterator[LocalFleet]:
    settings = {"ADVANCE_REGIONS": "ph", "EKYC_EVIDENCE_KEYS": format_key(new_key("test"))}
    with LocalFleet(settings=settings) as fleet:
        yield fleet


def plant(fleet: LocalFleet, signature_id: str, of: str = "", **changes: Any) -> DecisionRecord:
    """Write a decision as somebody does who can write to the store and has no key."""
    record = made(signature_id, of, **changes)
    folder = fleet.evidence / "ph" / signature_id
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "decision.json").write_bytes(dump_record(record))
    return record


def made(signature_id: str, of: str = "", **changes: Any) -> DecisionRecord:
    """Return an approval, with changes."""
    url = Evidence.from_settings(current()).of("ph", signature_id).url
    decision = Decision(
        id=decision_id("ph", signature_id),
        signature_id=of or signature_id,
        region="ph",
        decision="approve",
        overall_result="PASS",
        error_code="SUCCESS",
        reason=None,
        decided_at=datetime.now(UTC),
        evidence=EvidenceRef(url, complete=True),
        context=None,
        polls=1,
        table="default@12345678",
    )
    return DecisionRecord.of(replace(decision, **changes))


@pytest.mark.parametrize(
    ("signature_id", "changes"),
    [
        (f"{FAILED}-approve", {}),
        (f"{FAILED}-named", {"overall_result": "FAIL", "error_code": "ID_FORGERY_DETECTED"}),
        (f"{FAILED}-passed", {"decision": "accept"}),
        ("pass-other-person", {"of": "somebody", "id": decision_id("ph", "somebody")}),
        ("pass-other-region", {"region": "sg"}),
        ("pass-other-decision", {"id": decision_id("sg", "pass-other-decision")}),
        ("pass-rejected", {"decision": "reject", "overall_result": "FAIL"}),
        ("pass-in-doubt", {"decision": "review", "overall_result": None, "error_code": None}),
        (f"{FAILED}-strange", {"decision": "accept", "overall_result": "FAIL", "error_code": FORGED}),
    ],
)
def test_a_writer_of_the_store_makes_no_decision(
    fleet: LocalFleet, signature_id: str, changes: dict[str, Any]
) -> None:
    plant(fleet, signature_id, **changes)
    enqueue(signature_id, "ph")
    assert fleet.drain() == []
    found = {each.signature_id: each.reason for each in fleet.quarantined()}
    assert found[signature_id] == "EVIDENCE_CONFLICT"


def test_an_earlier_decision_that_approves_nothing_still_counts(fleet: LocalFleet) -> None:
    """As after the loss of a ledger that had ended the verification at its deadline."""
    changes: dict[str, Any] = {
        "decision": "review",
        "overall_result": None,
        "error_code": None,
        "reason": "DEADLINE_PASSED",
    }
    earlier = made("pass-after-deadline", **changes)
    Evidence.from_settings(current()).of("ph", "pass-after-deadline").keep_decision(earlier)
    enqueue("pass-after-deadline", "ph", context={"application": 7})
    (delivered,) = fleet.drain()
    assert (delivered.name, delivered.decision["reason"]) == ("review", "DEADLINE_PASSED")
    assert delivered.decision["context"] == {"application": 7}


def test_an_earlier_decision_is_delivered_with_the_url_of_these_settings(fleet: LocalFleet) -> None:
    """The store may have moved since, and nobody can lead receivers to another place."""
    one = Evidence.from_settings(current()).of("ph", "pass-moved")
    earlier = made("pass-moved", evidence=EvidenceRef("s3://elsewhere/ph/pass-moved", complete=True))
    one.keep_decision(earlier)
    before = one.decision()
    enqueue("pass-moved", "ph")
    (delivered,) = fleet.drain()
    assert delivered.name == "approve"
    assert delivered.decision["evidence"]["url"] == one.url
    assert one.decision() == before


def test_a_planted_decision_with_the_right_result_gives_way_to_that_of_a_worker(fleet: LocalFleet) -> None:
    """It could have another time, at which its retention begins, another table, another rule."""
    plant(fleet, "pass-long-ago", decided_at=datetime(2019, 1, 1, tzinfo=UTC), table="evil@1")
    enqueue("pass-long-ago", "ph")
    (delivered,) = fleet.drain()
    assert delivered.decision["decided_at"] > "2020"
    one = Evidence.from_settings(current()).of("ph", "pass-long-ago")
    stored = one.decision()
    assert stored is not None
    assert (stored.decision.table, stored.decision.decided_at.year > 2020) == (
        delivered.decision["table"],
        True,
    )
    assert one.is_ours("decision.json")


def test_a_local_fleet_with_keys_stores_nothing_readable(fleet: LocalFleet) -> None:
    enqueue("pass-n1-1", "ph", context={"application": 7})
    enqueue("CARD_NOT_FOUND-2", "ph")
    delivered = {each.signature_id: each for each in fleet.drain()}
    assert {name: each.name for name, each in delivered.items()} == {
        "pass-n1-1": "approve",
        "CARD_NOT_FOUND-2": "recapture",
    }
    evidence = Evidence.from_settings(current())
    for name, each in delivered.items():
        one = evidence.of("ph", name)
        assert verify(one) == []
        record = json.loads(one.read("decision.json") or b"")
        assert record["decision"] | {"context": each.decision["context"]} == each.decision
    files = [path for path in fleet.evidence.rglob("*") if path.is_file() and path.parent.name in delivered]
    assert len(files) > 6
    for path in files:
        assert path.read_bytes().startswith(b"EKYCE1\n") or path.name == "key.json"
        assert b"SANDBOX" not in path.read_bytes()
