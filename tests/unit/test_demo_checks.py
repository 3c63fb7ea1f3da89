"""What fails a demo: for every way in which one can go wrong, the check that says so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sandbox.demo.checks import checks
from sandbox.demo.console import NOW, Shown
from sandbox.demo.findings import Findings, Kept, Leaks, Logged
from sandbox.demo.plan import Way
from tests.unit.demo_findings import (
    APPROVED,
    DELIVERY,
    GOOD,
    UNREADABLE,
    answered,
    fed,
    received,
    reconciled,
    status,
)
from worker.evidence.store import Usage
from worker.ledger.models import Counts, Stage

COMPLETE = GOOD.kept["pass-1"]


def failed(findings: Findings) -> set[str]:
    return {check.name for check in checks(findings) if not check.ok}


def kept(approved: Kept) -> Findings:
    return replace(GOOD, kept={**GOOD.kept, "pass-1": approved})


def counts(**figures: object) -> Findings:
    return replace(GOOD, counts=replace(GOOD.counts, **figures))  # type: ignore[arg-type]


def erased(**found: object) -> Findings:
    return replace(GOOD, erased=replace(GOOD.erased, **found))  # type: ignore[arg-type]


def test_a_demo_in_which_all_went_well_passes_every_check() -> None:
    assert failed(GOOD) == set()


@pytest.mark.parametrize(
    ("findings", "check"),
    [
        (replace(GOOD, accepted={Way.HTTP: 1, Way.MESSAGE: 0}), "all_accepted"),
        (replace(GOOD, http=replace(GOOD.http, repeated_alike=False)), "repeated_request"),
        (replace(GOOD, log=Logged(2)), "evidence_is_logged"),
        (erased(is_readable=True), "person_erased"),
        (erased(stage="done"), "person_erased"),
        (erased(deleted=0), "person_erased"),
        (erased(vendor_cleared=False), "person_erased"),
        (erased(log=Logged(1)), "log_verifies_still"),
        (erased(log=Logged(2, ("missing ph/pass-1 has no entry",))), "log_verifies_still"),
        (
            replace(GOOD, log=Logged(1, ("changed ph/pass-1/front.jpg has other bytes",))),
            "evidence_is_logged",
        ),
        (fed(), "one_decision_by_http"),
        (fed(DELIVERY.decision, DELIVERY.decision), "one_decision_by_http"),
        (replace(GOOD, deliveries={}), "one_decision_by_http"),
        (fed(), "feed_has_each_once"),
        (fed(DELIVERY.decision, DELIVERY.decision), "feed_has_each_once"),
        (fed({**DELIVERY.decision, "polls": 3}), "feed_has_each_once"),
        (fed(DELIVERY.decision, {**DELIVERY.decision, "signature_id": "stranger"}), "feed_has_each_once"),
        (answered("ph", reconciled(accepted=1, under_way=["pass-1"])), "reconciled"),
        (answered("ph", reconciled(accepted=1, done=["pass-1"], unknown=["pass-1"])), "reconciled"),
        (answered("ph", reconciled(accepted=2, done=["pass-1"])), "reconciled"),
        (answered("sg", reconciled(accepted=1, done=["nodata-2"])), "reconciled"),
        (replace(GOOD, seen=replace(GOOD.seen, reconciliations={})), "reconciled"),
        (replace(GOOD, shown=Shown({NOW: ""})), "console_shows_it"),
        (
            replace(GOOD, shown=Shown({NOW: GOOD.shown.words(NOW).replace("sg", "")})),
            "console_shows_it",
        ),
        (
            replace(GOOD, shown=Shown({NOW: GOOD.shown.words(NOW).replace("done 1 0 1", "done 1 1 2")})),
            "console_shows_it",
        ),
        (replace(GOOD, callbacks={"sent": 1, "failed": 1}), "callbacks_taken"),
        (replace(GOOD, callbacks={"sent": 0, "failed": 0}), "callbacks_taken"),
        (counts(enqueued=1), "all_accepted"),
        (replace(GOOD, deliveries={}), "all_accounted_for"),
        (replace(GOOD, deliveries={**GOOD.deliveries, "stranger": [DELIVERY]}), "all_accounted_for"),
        (replace(GOOD, statuses={**GOOD.statuses, "nodata-2": None}), "all_accounted_for"),
        (
            replace(GOOD, statuses={**GOOD.statuses, "pass-1": status(APPROVED, Stage.ROUTING, polls=2)}),
            "all_accounted_for",
        ),
        (received(id="838cf42f-94ae-5878-872e-a4458f64254f"), "one_decision_each"),
        (
            replace(GOOD, deliveries={"pass-1": [DELIVERY, received(polls=3).deliveries["pass-1"][0]]}),
            "one_decision_each",
        ),
        (
            replace(GOOD, deliveries={"pass-1": [replace(DELIVERY, task="onboarding.reject")]}),
            "one_decision_each",
        ),
        (replace(GOOD, deliveries={"pass-1": [DELIVERY, DELIVERY]}), "delivered_once"),
        (received(decision="reject"), "decided_as_expected"),
        (received(error_code="ERROR"), "decided_as_expected"),
        (received(reason="DEADLINE_PASSED"), "decided_as_expected"),
        (received(context=None), "context_came_back"),
        (received(evidence={"url": "", "complete": False}), "evidence_proves_it"),
        (kept(replace(COMPLETE, complete=False)), "evidence_proves_it"),
        (kept(replace(COMPLETE, faults=("front.jpg is missing",))), "evidence_proves_it"),
        (kept(replace(COMPLETE, listed=None)), "evidence_proves_it"),
        (counts(done=2), "sums_agree"),
        (counts(polls=4), "sums_agree"),
        (counts(decisions={"approve": 2}), "sums_agree"),
        (counts(error_codes={"ERROR": 1}), "sums_agree"),
        (counts(evidence_files=4), "sums_agree"),
        (counts(evidence_bytes=5_001), "sums_agree"),
        (replace(GOOD, usage=Usage(files=6, size_bytes=6_000)), "sums_agree"),
        (counts(waiting=1), "nothing_left"),
        (counts(in_flight=1), "nothing_left"),
        (replace(GOOD, messages_left=1), "nothing_left"),
        (replace(GOOD, leaks=Leaks(logs=("worker1.log",))), "no_personal_data_in_logs"),
        (replace(GOOD, leaks=Leaks(redis=("celery",))), "no_personal_data_in_redis"),
        (replace(GOOD, leaks=Leaks(stored=("answer.json",))), "evidence_is_encrypted"),
        (replace(GOOD, leaks=Leaks(decisions=True)), "no_personal_data_in_decisions"),
        (replace(GOOD, leaks=Leaks(evidence=False)), "no_personal_data_in_decisions"),
        (replace(GOOD, failures=("worker2.log",)), "nothing_failed"),
        (replace(GOOD, exit_codes={"worker1": -9}), "nothing_failed"),
    ],
)
def test_what_goes_wrong_fails_the_check_for_it(findings: Findings, check: str) -> None:
    assert check in failed(findings)


@pytest.mark.parametrize(
    ("one", "reason"), [(APPROVED, "UNREADABLE"), (UNREADABLE, None)], ids=["to be decided", "no reason"]
)
def test_nobody_is_quarantined_who_should_not_be_or_without_a_reason(one: object, reason: str | None) -> None:
    planned = APPROVED if one is APPROVED else UNREADABLE
    quarantined = status(planned, Stage.QUARANTINED, polls=1, reason=reason)
    findings = replace(GOOD, statuses={**GOOD.statuses, planned.signature_id: quarantined})
    assert "quarantined_as_expected" in failed(findings)


def test_whom_nobody_should_decide_is_told_from_whom_the_table_decides_wrongly() -> None:
    """A verification that should be in quarantine and got a decision is no wrong decision among others."""
    decided = replace(DELIVERY, decision={**DELIVERY.decision, "signature_id": "nodata-2"})
    findings = replace(GOOD, deliveries={**GOOD.deliveries, "nodata-2": [decided]})
    problems = [line for check in checks(findings) for line in check.problems]
    assert "sg nodata-2: should have been quarantined, is approve" in problems


def test_where_nothing_is_promised_about_the_images_either_will_do() -> None:
    anyhow = replace(APPROVED, expect=replace(APPROVED.expect, evidence_complete=None))
    findings = replace(
        kept(replace(COMPLETE, complete=False)), plan=replace(GOOD.plan, at_once=(anyhow, UNREADABLE))
    )
    assert "evidence_proves_it" not in failed(findings)


def test_a_few_problems_are_named_and_the_rest_counted() -> None:
    findings = replace(GOOD, leaks=Leaks(logs=tuple(f"{number}.log" for number in range(9))))
    (check,) = [check for check in checks(findings) if not check.ok]
    assert len(check.problems) == 6
    assert check.problems[-1] == "… and 4 more"


def test_an_empty_ledger_fails_it() -> None:
    nothing = replace(
        GOOD, accepted={}, deliveries={}, statuses={}, counts=Counts(), usage=Usage(files=0, size_bytes=0)
    )
    assert {"all_accepted", "all_accounted_for"} <= failed(nothing)
