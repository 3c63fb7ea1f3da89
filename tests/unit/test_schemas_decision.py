"""The decision: the same bytes whenever it is written, and all of it when it is read back."""

from __future__ import annotations

import dataclasses
import json
import uuid
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from schemas.decision import Decision, EvidenceRef, decision_id, dump_decision, load_decision
from schemas.errors import SchemaError

DECISION = Decision(
    id=decision_id("ph", "f302f5d2454a85c2"),
    signature_id="f302f5d2454a85c2",
    region="ph",
    decision="recapture",
    overall_result="INCOMPLETE",
    error_code="CARD_NOT_FOUND",
    reason=None,
    decided_at=datetime(2022, 10, 17, 7, 58, 42, 952_000, tzinfo=UTC),
    evidence=EvidenceRef(url="s3://bucket/ekyc/ph/f302f5d2454a85c2", complete=True),
    context={"customer": 17, "nested": [None, {"a": 1.5}]},
    polls=7,
    table="1",
)

WIRE = {
    "id": "0f2daabc-6507-57c6-8fbb-9cee9b28b184",
    "signature_id": "f302f5d2454a85c2",
    "region": "ph",
    "decision": "recapture",
    "overall_result": "INCOMPLETE",
    "error_code": "CARD_NOT_FOUND",
    "reason": None,
    "decided_at": "2022-10-17T07:58:42.952Z",
    "evidence": {"url": "s3://bucket/ekyc/ph/f302f5d2454a85c2", "complete": True},
    "context": {"customer": 17, "nested": [None, {"a": 1.5}]},
    "polls": 7,
    "table": "1",
}


def test_a_decision_is_written_with_the_documented_fields_in_their_order() -> None:
    assert json.dumps(dump_decision(DECISION)) == json.dumps(WIRE)


def test_a_decision_is_read_back_as_it_was() -> None:
    assert load_decision(json.loads(json.dumps(dump_decision(DECISION)))) == DECISION


def test_a_decision_without_a_result_is_read_back_as_it_was() -> None:
    decision = dataclasses.replace(
        DECISION, overall_result=None, error_code=None, reason="DEADLINE_PASSED", context=None
    )

    assert load_decision(dump_decision(decision)) == decision


def test_any_offset_is_written_in_utc() -> None:
    manila = DECISION.decided_at.astimezone(timezone(timedelta(hours=8)))

    assert dump_decision(dataclasses.replace(DECISION, decided_at=manila)) == WIRE


def test_an_id_is_a_uuid_5_that_never_changes() -> None:
    """Pipelines keep these ids: they are the same for every release, process and machine."""
    assert decision_id("ph", "f302f5d2454a85c2") == WIRE["id"]
    assert uuid.UUID(decision_id("ph", "f302f5d2454a85c2")).version == 5


def test_another_region_or_id_is_another_decision() -> None:
    ids = {decision_id(region, name) for region in ("ph", "sg") for name in ("a", "b")}

    assert len(ids) == 4


def test_a_decision_is_frozen_and_keeps_the_context_out_of_its_repr() -> None:
    assert "customer" not in repr(DECISION)
    with pytest.raises(dataclasses.FrozenInstanceError):
        DECISION.decision = "approve"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"id": "MARKER"}, "id"),
        ({"id": None}, "id"),
        ({"signature_id": "../MARKER"}, "signature_id"),
        ({"region": "MARKER"}, "region"),
        ({"decision": "MARKER"}, "decision"),
        ({"decision": "approve\n"}, "decision"),
        ({"decision": "a" * 65}, "decision"),
        ({"overall_result": "MARKER"}, "overall_result"),
        ({"overall_result": "pass"}, "overall_result"),
        ({"error_code": 17}, "error_code"),
        ({"decided_at": "MARKER"}, "decided_at"),
        ({"decided_at": "2022-10-17T07:58:42"}, "decided_at"),
        ({"decided_at": 1665993522952}, "decided_at"),
        ({"evidence": "MARKER"}, "evidence"),
        ({"evidence": {"complete": True}}, "evidence.url"),
        ({"evidence": {"url": "x", "complete": "MARKER"}}, "evidence.complete"),
        ({"polls": "7"}, "polls"),
        ({"polls": -1}, "polls"),
        ({"polls": True}, "polls"),
        ({"table": None}, "table"),
    ],
)
def test_what_is_no_decision_is_refused_by_name_and_not_by_value(change: dict[str, Any], field: str) -> None:
    with pytest.raises(SchemaError) as caught:
        load_decision({**WIRE, **change})

    assert caught.value.field == field
    assert "MARKER" not in str(caught.value)


@pytest.mark.parametrize("name", WIRE)
def test_no_field_may_be_missing(name: str) -> None:
    with pytest.raises(SchemaError) as caught:
        load_decision({key: value for key, value in WIRE.items() if key != name})

    assert caught.value.field == name


def test_a_field_of_a_later_release_is_left_out() -> None:
    assert load_decision({**WIRE, "later": 1}) == DECISION
