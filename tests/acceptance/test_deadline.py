"""The end of waiting: one last poll, one decision, and what comes after it is evidence."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from schemas.enqueue import EnqueueRequest
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.acceptance.fleet import Fleet

pytestmark = pytest.mark.timeout(120)


def test_a_late_answer_is_archived_and_changes_no_decision(fleet: Fleet) -> None:
    """Null until long after the deadline: `review`, and then, from the vendor's late answer, its evidence."""
    fleet.worker(EKYC_POLL_DEADLINE="2")
    fleet.ledger().enqueue([EnqueueRequest("pass-t1h-1", "ph")])
    until(lambda: fleet.stats().counts("ph").decisions, "it is decided at the deadline")
    (message,) = fleet.delivered()
    assert message["task"] == "onboarding.review"
    assert message["decision"]["reason"] == "DEADLINE_PASSED"
    assert message["decision"]["evidence"]["complete"] is False
    fleet.vendor.state._clock = lambda: time.time() + 3_600
    fleet.await_done(1)
    assert fleet.delivered() == []
    status = fleet.ledger().status("ph", "pass-t1h-1")
    assert status is not None
    names = [event.name for event in status.timeline]
    assert names[-2:] == ["settled_late", "archived"]
    assert names.count("delivered") == 1
    assert (fleet.evidence / "ph" / "pass-t1h-1" / "manifest.json").exists()
