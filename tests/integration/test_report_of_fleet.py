"""A report of what the fleet itself kept: the records of real decisions have what a report needs."""

from __future__ import annotations

from datetime import datetime

from worker.client import enqueue
from worker.evidence.store import Evidence
from worker.records.report.figures import NONE
from worker.records.report.month import Month
from worker.records.report.page import page
from worker.records.report.reading import MonthReader
from worker.records.report.report import Coverage, Report
from worker.settings import current
from worker.testing import LocalFleet

#: Ids of the sandbox, and how many faulty answers come before the result.
FAULTS = {
    "pass-1": 0,
    "pass-n3-1": 0,
    "http503x2-1": 2,
    "code-ERROR-x2-1": 2,
    "ID_FORGERY_DETECTED-1": 0,
    "CARD_NOT_FOUND-1": 0,
}


def test_the_evidence_of_a_fleet_becomes_a_report() -> None:
    with LocalFleet(settings={"ADVANCE_REGIONS": "ph"}) as fleet:
        for signature_id in FAULTS:
            enqueue(signature_id, "ph")
        enqueue("code-CLIENT_ERROR-always-1", "ph")
        delivered = fleet.drain()
        counts = fleet.counts("ph")
        evidence = Evidence.from_settings(current())
        stored = {name: evidence.of("ph", name).decision() for name in FAULTS}
        month = Month.parse(delivered[0].decision["decided_at"][:7])
        reader = MonthReader(month)
        reader.read(evidence, ("ph", "sg"))
    assert {each.signature_id for each in delivered} == FAULTS.keys()
    for each in delivered:
        record = stored[each.signature_id]
        assert record is not None
        course, decided_at = record.course, datetime.fromisoformat(each.decision["decided_at"])
        assert course.vendor_faults == FAULTS[each.signature_id]
        assert course.enqueued_at is not None
        assert course.settled_at is not None
        assert course.enqueued_at <= course.settled_at <= decided_at == record.decision.decided_at
        assert record.decision.context is None
    figures = reader.figures()
    assert figures.decided == len(FAULTS)
    assert figures.outcomes == counts.decisions
    assert {line.name: line.count for line in figures.error_codes} == counts.error_codes
    assert (figures.vendor.recorded, figures.vendor.answers, figures.vendor.verifications) == (6, 4, 2)
    assert figures.polls == sum(each.decision["polls"] for each in delivered)
    assert NONE not in {line.name for line in figures.document_types if line.outcomes.get("approve")}
    # The quarantined one has no decision: its answer was kept.
    assert reader.coverage() == Coverage(undecided=1)
    text = page(Report(month, ("ph", "sg"), month.end, figures, reader.coverage()))
    assert "SANDBOX PERSON" not in text
    assert not any(name in text for name in FAULTS)
