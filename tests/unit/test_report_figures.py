"""The figures of a month, and their forms as JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
import random
import time
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest

from tests.support.report_cases import NOVEMBER, approved, rejected, report_of, reviewed
from worker.decisions import rules
from worker.errors import InvalidInput
from worker.records.report.acceptance import Acceptance, Verdict
from worker.records.report.figures import APPROVE, Tally
from worker.records.report.month import Month
from worker.records.report.report import Checkpoint, Coverage, as_csv, as_json

if TYPE_CHECKING:
    from worker.records.report.case import Case


def some() -> list[Case]:
    return [
        approved(took_s=10),
        approved(took_s=20, region="sg", document_type="PASSPORT"),
        rejected(took_s=30, decided_at=datetime(2026, 11, 30, 23, 59, 59, 999000, tzinfo=UTC)),
        reviewed(took_s=7000, vendor_faults=4),
    ]


def test_a_month_is_one_of_utc() -> None:
    assert Month.parse(" 2026-11 ") == NOVEMBER
    assert (NOVEMBER.start, NOVEMBER.end) == (
        datetime(2026, 11, 1, tzinfo=UTC),
        datetime(2026, 12, 1, tzinfo=UTC),
    )
    assert NOVEMBER.has(NOVEMBER.start)
    assert not NOVEMBER.has(NOVEMBER.end)
    assert NOVEMBER.has(NOVEMBER.end - timedelta(microseconds=1))
    east = timezone(timedelta(hours=8))
    assert not NOVEMBER.has(datetime(2026, 11, 1, 7, tzinfo=east))
    assert NOVEMBER.has(datetime(2026, 12, 1, 7, tzinfo=east))
    assert (NOVEMBER.days[0], NOVEMBER.days[-1], len(Month(2028, 2).days)) == ("2026-11-01", "2026-11-30", 29)
    assert (str(NOVEMBER), NOVEMBER.name) == ("2026-11", "November 2026")
    assert Month(2026, 12).end == Month(2027, 1).start


@pytest.mark.parametrize(
    "text",
    ["", "2026", "2026-13", "2026-00", "2026-1", "26-11", "2026-11-01", "2026/11", "٢٠٢٦-11", "0000-01"],
)
def test_what_is_no_month_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="such as 2026-11"):
        Month.parse(text)


def test_every_verification_is_counted_once_in_each_table() -> None:
    figures = report_of(some()).figures
    assert figures.decided == 4
    assert figures.outcomes == {"approve": 2, "reject": 1, "review": 1}
    assert {line.name: line.count for line in figures.error_codes} == {
        "SUCCESS": 2, "ID_FORGERY_DETECTED": 1, "none": 1,
    }  # fmt: skip
    assert {line.name: line.outcomes for line in figures.regions} == {
        "my": {"approve": 1, "reject": 1, "review": 1}, "sg": {"approve": 1},
    }  # fmt: skip
    assert [line.name for line in figures.document_types] == ["MY-ID-MYKAD", "PASSPORT", "none"]
    assert len(figures.days) == 30
    assert {line.name: line.count for line in figures.days if line.count} == {
        "2026-11-03": 3, "2026-11-30": 1,
    }  # fmt: skip
    for lines in (figures.error_codes, figures.document_types, figures.regions, figures.days):
        assert sum(line.count for line in lines) == 4
        assert all(line.count == sum(line.outcomes.values()) for line in lines)
    assert (figures.polls, figures.incomplete, figures.tables) == (12, 0, {"default-1": 4})
    assert figures.reviews == {"DEADLINE_PASSED": 1}


def test_quantiles_are_durations_of_real_verifications() -> None:
    figures = report_of([approved(took_s=second) for second in range(1, 101)]).figures
    times = figures.enqueued_to_decided
    assert times is not None
    assert (times.median_s, times.p90_s, times.p95_s, times.longest_s) == (50, 90, 95, 100)
    # Up to 5 s, 15 s, 60 s, 300 s.
    assert times.histogram == (5, 10, 45, 40, 0, 0, 0, 0, 0)
    one = report_of([approved(took_s=7.25)]).figures.enqueued_to_decided
    assert one is not None
    assert (one.median_s, one.p90_s, one.p95_s) == (7.25, 7.25, 7.25)


def test_times_leave_out_what_the_record_does_not_hold_and_are_never_below_zero() -> None:
    decided_at = datetime(2026, 11, 3, 12, tzinfo=UTC)
    figures = report_of(
        [
            approved(),
            approved(enqueued_at=decided_at + timedelta(seconds=5)),
            approved(settled_at=decided_at - timedelta(seconds=2)),
            # Without a result there is no time since the result.
            reviewed(settled_at=decided_at - timedelta(seconds=900)),
        ]
    ).figures
    assert figures.enqueued_to_decided is not None
    assert (figures.enqueued_to_decided.count, figures.enqueued_to_decided.longest_s) == (1, 0)
    assert figures.settled_to_decided is not None
    assert (figures.settled_to_decided.count, figures.settled_to_decided.median_s) == (1, 2)
    assert report_of([approved()]).figures.enqueued_to_decided is None


def test_faults_of_the_vendor_are_those_that_the_evidence_holds() -> None:
    tally = Tally(NOVEMBER.days)
    for case in (
        approved(vendor_faults=0),
        approved(vendor_faults=2, missing=("NOT_AN_IMAGE", "NOT_AN_IMAGE"), complete=False),
        approved(),
        reviewed(vendor_faults=3),
        reviewed(reason="DOC_RESULT", error_code="SUCCESS"),
        reviewed(reason=None, error_code="ERROR"),
    ):
        tally.add(case)
    tally.add_unreadable_answers(2)
    figures = tally.figures()
    vendor = figures.vendor
    assert (vendor.recorded, vendor.answers, vendor.verifications) == (3, 5, 2)
    assert vendor.reasons == {"DEADLINE_PASSED": 1, "DOC_RESULT": 1}
    assert (vendor.codes, vendor.missing, vendor.unreadable_answers) == ({"ERROR": 1}, {"NOT_AN_IMAGE": 2}, 2)
    assert figures.incomplete == 1


def test_the_order_in_which_evidence_is_read_changes_nothing() -> None:
    cases = [each for number in range(50) for each in (approved(took_s=number), rejected(), reviewed())]
    shuffled = cases.copy()
    random.Random(5).shuffle(shuffled)
    assert as_json(report_of(cases)) == as_json(report_of(shuffled))


def test_approvals_are_called_what_the_decision_table_calls_them() -> None:
    assert APPROVE == rules.APPROVE


def test_json_and_csv_have_the_same_figures() -> None:
    report = report_of(
        some(),
        coverage=Coverage(undecided=5, erased=6, unreadable=7, not_logged=8, missing=9),
        checkpoints=(Checkpoint("my", 1024, "cm9vdA=="),),
        acceptance=Acceptance.of({Verdict.RIGHT: 2}, approvals=2),
    )
    members = json.loads(as_json(report))
    assert (members["month"], members["from"], members["until"], members["month_is_over"]) == (
        "2026-11", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z", True,
    )  # fmt: skip
    assert members["regions"][0] == {
        "name": "my", "count": 3, "rate": 0.75, "approval_rate": 0.333333,
        "outcomes": {"approve": 1, "reject": 1, "review": 1},
    }  # fmt: skip
    assert members["outcomes"][0] == {"outcome": "approve", "count": 2, "rate": 0.5}
    assert members["evidence"] == {
        "incomplete": 0, "undecided": 5, "erased": 6, "unreadable": 7, "not_logged": 8, "logged_and_missing": 9,
    }  # fmt: skip
    assert members["log"] == [{"region": "my", "size": 1024, "root": "cm9vdA=="}]
    assert members["false_acceptance"]["wrong_in_month_high"] == 0
    rows = list(csv.reader(io.StringIO(as_csv(report), newline="")))
    assert rows[0] == ["section", "name", "measure", "value"]
    found = {(section, name, measure): value for section, name, measure, value in rows[1:]}
    assert len(found) == len(rows) - 1
    assert found["report", "", "month_is_over"] == "true"
    assert found["outcomes", "approve", "count"] == "2"
    assert found["error_codes", "SUCCESS", "rate"] == "0.5"
    assert found["regions", "sg", "approve"] == "1"
    assert found["regions", "my", "approval_rate"] == "0.333333"
    assert found["times", "enqueued_to_decided", "median_s"] == "20.0"
    assert found["times_by_region", "sg", "p95_s"] == "20.0"
    assert found["reviews", "DEADLINE_PASSED", "count"] == "1"
    assert found["vendor", "reasons", "DEADLINE_PASSED"] == "1"
    assert found["evidence", "", "logged_and_missing"] == "9"
    assert found["log", "my", "root"] == "cm9vdA=="
    assert found["false_acceptance", "", "sampled"] == "2"


def test_a_month_that_is_not_over_says_so() -> None:
    report = report_of(some(), computed_at=datetime(2026, 11, 30, 23, tzinfo=UTC))
    assert not report.is_complete
    assert json.loads(as_json(report))["month_is_over"] is False


def test_counting_takes_time_in_proportion() -> None:
    def seconds(count: int) -> float:
        cases = [approved(took_s=number % 977, document_type=f"T-{number}") for number in range(count)]
        started = time.process_time()
        as_csv(report_of(cases))
        return time.process_time() - started

    seconds(500)
    once = max(seconds(1000), 0.005)
    assert seconds(8000) < 8 * 10 * once
