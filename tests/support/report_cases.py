"""Cases of a month for the tests of its report."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from worker.records.report.case import Case
from worker.records.report.figures import Tally
from worker.records.report.month import Month
from worker.records.report.report import Coverage, Report

if TYPE_CHECKING:
    from collections.abc import Iterable

NOVEMBER: Final = Month(2026, 11)

_APPROVED: Final = Case(
    region="my",
    outcome="approve",
    overall_result="PASS",
    error_code="SUCCESS",
    reason=None,
    document_type="MY-ID-MYKAD",
    table="default-1",
    decided_at=datetime(2026, 11, 3, 12, tzinfo=UTC),
    enqueued_at=None,
    settled_at=None,
    polls=3,
    vendor_faults=None,
    complete=True,
)


def approved(**changes: Any) -> Case:
    """A case of the month; `took_s`: from its enqueue request to its decision."""
    took_s = changes.pop("took_s", None)
    case = replace(_APPROVED, **changes)
    return case if took_s is None else replace(case, enqueued_at=case.decided_at - timedelta(seconds=took_s))


def rejected(**changes: Any) -> Case:
    return approved(
        **{"outcome": "reject", "overall_result": "FAIL", "error_code": "ID_FORGERY_DETECTED"} | changes
    )


def reviewed(**changes: Any) -> Case:
    defaults = {
        "outcome": "review",
        "overall_result": None,
        "error_code": None,
        "reason": "DEADLINE_PASSED",
        "document_type": None,
    }
    return approved(**defaults | changes)


def report_of(cases: Iterable[Case], **changes: Any) -> Report:
    """The report of a month that is over."""
    tally = Tally(NOVEMBER.days)
    for case in cases:
        tally.add(case)
    given: dict[str, Any] = {
        "month": NOVEMBER,
        "regions": ("my", "sg"),
        "computed_at": datetime(2026, 12, 1, 8, tzinfo=UTC),
        "figures": tally.figures(),
        "coverage": Coverage(),
    }
    return Report(**given | changes)
