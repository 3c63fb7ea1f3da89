"""The figures of a demo, and how they are shown."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from sandbox.demo.checks import checks
from sandbox.demo.page import page
from sandbox.demo.report import Report, Spread
from sandbox.demo.tally import tally
from tests.unit.demo_findings import APPROVED, GOOD, received, status
from worker.ledger.models import Stage

FOLDER = Path("/demos/one")


def of(findings: object = GOOD) -> Report:
    assert isinstance(findings, type(GOOD))
    return tally(findings, checks(findings), holds=[("vn", "VENDOR_BUSY")], seconds=21.4, folder=FOLDER)


def shown(what: Report, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(page(what))
    text = console.file
    assert isinstance(text, io.StringIO)
    return text.getvalue()


def test_a_95th_percentile_is_a_value_that_was_measured() -> None:
    assert Spread.of([*range(1, 101)]) == Spread(100, 50.5, 50.5, 95, 100)
    assert Spread.of([7]) == Spread(1, 7, 7, 7, 7)
    assert Spread.of([1, 2]) == Spread(2, 1.5, 1.5, 2, 2)


def test_of_nothing_measured_there_are_no_figures() -> None:
    assert Spread.of([]) is None


def test_machines_get_every_figure_as_json() -> None:
    figures = json.loads(json.dumps(of().as_json()))
    assert figures["ok"]
    assert (figures["verifications"], figures["decided"], figures["quarantined"]) == (2, 1, 1)
    assert figures["enqueued"] == {"POST /v1/verifications": 1, "tasks.enqueue": 1}
    assert figures["decisions"] == {"approve": 1}
    assert figures["error_codes"] == {"SUCCESS": 1}
    assert figures["polls"] == 3
    assert figures["polls_each"]["measured"] == 2
    assert figures["latency_ms"] == {"measured": 1, "median": 250, "mean": 250.0, "p95": 250, "most": 250}
    assert figures["latency_called_back_ms"] == figures["latency_ms"]
    assert figures["latency_polled_ms"] is None
    assert figures["callbacks"] == {"sent": 1, "failed": 0, "lost": 0, "doubled": 0}
    assert figures["evidence"] == {"files": 5, "bytes": 6000, "folder": "/demos/one/evidence"}
    assert figures["quarantine"] == [
        {"signature_id": "nodata-2", "region": "sg", "reason": "UNREADABLE", "detail": "NO_DATA"}
    ]
    assert figures["holds"] == [{"region": "vn", "reason": "VENDOR_BUSY"}]
    assert all(check["ok"] for check in figures["checks"])


def test_only_those_are_measured_that_had_a_result_and_were_decided() -> None:
    nobody = replace(GOOD, ready_at_ms={"pass-1": None, "nodata-2": 5_000})
    assert of(nobody).latency_ms is None


def test_those_at_which_something_went_wrong_are_measured_apart() -> None:
    rough = replace(GOOD, plan=replace(GOOD.plan, at_once=(replace(APPROVED, smooth=False),)))
    assert of(rough).latency_ms is not None
    assert of(rough).latency_smooth_ms is None


def test_those_with_a_callback_are_measured_apart_from_those_without_one() -> None:
    polled = replace(GOOD, plan=replace(GOOD.plan, at_once=(replace(APPROVED, called_back=False),)))
    assert of(polled).latency_called_back_ms is None
    assert of(polled).latency_polled_ms == Spread(1, 250, 250.0, 250, 250)
    assert "without one: median 250 ms" in shown(of(polled))
    at_once = replace(GOOD, plan=replace(GOOD.plan, at_once=(replace(APPROVED, announced=False),)))
    assert of(at_once).latency_called_back_ms is None


def test_callbacks_that_failed_are_counted_for_people() -> None:
    assert "2 sent, 1 failed, 3 lost; about ph and sg" in shown(
        of(replace(GOOD, callbacks={"sent": 2, "failed": 1, "lost": 3}))
    )


def test_a_decision_without_a_result_counts_by_its_reason() -> None:
    assert of(received(error_code=None, reason="DEADLINE_PASSED")).decisions == {
        "approve": {"DEADLINE_PASSED": 1}
    }


def test_a_lease_that_ended_is_named() -> None:
    late = status(APPROVED, Stage.DONE, polls=2, events="lease_expired:routing")
    found = of(replace(GOOD, statuses={**GOOD.statuses, "pass-1": late}))
    assert found.leases_lost == ("pass-1",)
    assert re.search(r"leases lost +pass-1", shown(found))


@pytest.mark.parametrize("width", [80, 100, 140])
def test_people_see_what_matters_most_first(width: int) -> None:
    text = shown(of(), width)
    assert "All is well. 2 verifications in 21 s: 1 decided, 1 quarantined." in text
    assert "UNREADABLE: NO_DATA" in text
    assert "/demos/one/evidence" in text
    assert "✗" not in text


def test_people_see_what_failed_and_why() -> None:
    text = shown(of(received(decision="reject")))
    assert "checks failed" in text
    assert "✗ each decision is the one expected for its answer" in text
    assert "ph pass-1: should be approve PASS SUCCESS, is reject PASS SUCCESS" in text
