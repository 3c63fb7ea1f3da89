"""The record of a decision: what it says of the way to it, and records of before."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from schemas.decision import Decision, EvidenceRef, decision_id
from schemas.errors import SchemaError
from worker.evidence.decision_record import Course, DecisionRecord, dump_record, load_record

DECISION = Decision(
    id=decision_id("ph", "id-1"),
    signature_id="id-1",
    region="ph",
    decision="approve",
    overall_result="PASS",
    error_code="SUCCESS",
    reason=None,
    decided_at=datetime(2026, 11, 2, 3, 4, 5, 6000, tzinfo=UTC),
    evidence=EvidenceRef("file:///e", complete=True),
    context={"customer": 7},
    polls=3,
    table="default@12345678",
)
COURSE = Course(
    enqueued_at=datetime(2026, 11, 2, 3, 0, 0, 1000, tzinfo=UTC),
    settled_at=datetime(2026, 11, 2, 3, 4, 5, tzinfo=UTC),
    document_type="MY-ID-MYKAD",
    vendor_faults=2,
)


def document(record: DecisionRecord) -> Any:
    return json.loads(dump_record(record))


def test_a_record_says_how_it_came_to_the_decision_and_is_read_back() -> None:
    record = DecisionRecord.of(DECISION, 4, COURSE)
    assert document(record)["course"] == {
        "enqueued_at": "2026-11-02T03:00:00.001Z",
        "settled_at": "2026-11-02T03:04:05.000Z",
        "document_type": "MY-ID-MYKAD",
        "vendor_faults": 2,
    }
    assert load_record(dump_record(record)) == record


def test_moments_are_written_in_utc() -> None:
    east = COURSE.enqueued_at.astimezone(timezone(timedelta(hours=8))) if COURSE.enqueued_at else None
    record = DecisionRecord.of(DECISION, 4, replace(COURSE, enqueued_at=east))
    assert document(record)["course"]["enqueued_at"] == "2026-11-02T03:00:00.001Z"


def test_what_is_not_known_is_left_out_and_zero_is_known() -> None:
    assert "course" not in document(DecisionRecord.of(DECISION))
    record = DecisionRecord.of(DECISION, course=Course(vendor_faults=0))
    assert document(record)["course"] == {"vendor_faults": 0}
    assert load_record(dump_record(record)) == record


def test_a_record_of_another_release_is_read() -> None:
    record = DecisionRecord.of(DECISION, 4, COURSE)
    members = document(record)
    del members["course"]
    assert load_record(json.dumps(members).encode()) == replace(record, course=Course())
    members["course"] = {"vendor_faults": None, "of_a_later_release": 1}
    assert load_record(json.dumps(members).encode()).course == Course()


@pytest.mark.parametrize(
    "course",
    [
        {"enqueued_at": "2026-11-02T03:00:00"},
        {"settled_at": 5},
        {"document_type": "MY ID\n"},
        {"document_type": "x" * 65},
        {"vendor_faults": -1},
        {"vendor_faults": "2"},
        [],
    ],
)
def test_a_course_that_cannot_be_read_is_a_fault_of_the_record(course: Any) -> None:
    members = document(DecisionRecord.of(DECISION)) | {"course": course}
    with pytest.raises(SchemaError, match="course"):
        load_record(json.dumps(members).encode())


def test_a_record_of_any_size_is_refused_in_bounded_time_and_memory() -> None:
    members = document(DecisionRecord.of(DECISION)) | {"of_a_later_release": ["x"] * 300_000}
    raw = json.dumps(members).encode()
    tracemalloc.start()
    try:
        with pytest.raises(SchemaError, match="too long"):
            load_record(raw)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
