"""Stores decisions as the fleet does, for the tests of what reads them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from schemas.decision import Decision, EvidenceRef, decision_id
from worker.evidence.decision_record import Course, DecisionRecord, dump_record

if TYPE_CHECKING:
    from pathlib import Path

    from worker.evidence.store import Evidence, VerificationEvidence

#: The name of a person who must not appear outside of the evidence.
PERSON: Final = "SANDBOX PERSON"

DECIDED_AT: Final = datetime(2026, 3, 10, 12, tzinfo=UTC)


def record_of(
    url: str,
    signature_id: str,
    outcome: str = "approve",
    /,
    *,
    region: str = "my",
    decided_at: datetime = DECIDED_AT,
    took_s: float = 30,
    course: Course | None = None,
    **changes: Any,
) -> DecisionRecord:
    """Return the record of a decision. `changes`: other members of the decision."""
    decision = Decision(
        id=decision_id(region, signature_id),
        signature_id=signature_id,
        region=region,
        decision=outcome,
        overall_result="PASS" if outcome == "approve" else "FAIL",
        error_code="SUCCESS" if outcome == "approve" else "ID_FORGERY_DETECTED",
        reason=None,
        decided_at=decided_at,
        evidence=EvidenceRef(url, complete=True),
        context={"customer": PERSON},
        polls=3,
        table="default@12345678",
    )
    usual = Course(
        enqueued_at=decided_at - timedelta(seconds=took_s),
        settled_at=decided_at - timedelta(seconds=1),
        document_type="MY-ID-MYKAD",
        vendor_faults=0,
    )
    return DecisionRecord.of(replace(decision, **changes), course=course or usual)


def keep_decision(
    store: Evidence, signature_id: str, outcome: str = "approve", /, *, region: str = "my", **changes: Any
) -> VerificationEvidence:
    """Store the answer and the decision of one verification, and return its evidence."""
    kept = store.of(region, signature_id)
    kept.keep_answer(f'{{"data": {{"fullName": "{PERSON}"}}}}'.encode())
    kept.keep_decision(record_of(kept.url, signature_id, outcome, region=region, **changes))
    return kept


def write_decision(root: Path, signature_id: str) -> None:
    """Write the decision of one verification in region `my` without waiting for the disk, for tests with many."""
    folder = root / "my" / signature_id
    folder.mkdir(parents=True)
    (folder / "decision.json").write_bytes(dump_record(record_of("file:///e", signature_id)))
