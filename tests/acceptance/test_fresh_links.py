"""Links that died while the vendor may not be asked for fresh ones: nobody's fault, and no decision waits for long."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sandbox.faults import Faults, Mode
from schemas.enqueue import EnqueueRequest
from tests.support.waiting import until
from worker.advance.answers import Settled
from worker.advance.client import Client
from worker.evidence.store import Evidence
from worker.ledger import transitions
from worker.ledger.models import Stage
from worker.ledger.transitions import Heard
from worker.settings import Settings

if TYPE_CHECKING:
    from tests.acceptance.fleet import Fleet
    from worker.ledger.models import Status

pytestmark = pytest.mark.timeout(180)

ID = "pass-imgexpired-1"


def settled_with_dead_links(fleet: Fleet) -> None:
    """Its answer is kept, its links are dead, and its images are due: what a crash after the poll leaves."""
    ledger = fleet.ledger()
    ledger.enqueue([EnqueueRequest(ID, "ph")])
    (batch,) = ledger.claim("ph", limit=1).batches
    (one,) = ledger.load(batch)
    vendor = fleet.vendor.environment()
    keys = Settings(
        access_key=vendor["ADVANCE_ACCESS_KEY"],
        secret_key=vendor["ADVANCE_SECRET_KEY"],
        base_url=vendor["ADVANCE_BASE_URL"],
    )
    with fleet.redis() as redis:
        answer = Client(keys, redis).get_result("ph", ID)
    assert isinstance(answer, Settled)
    Evidence(f"file://{fleet.evidence}").of("ph", ID).keep_answer(answer.raw)
    ledger.record(
        batch, [transitions.settle(one, Heard("result"), overall_result="PASS", error_code="SUCCESS")]
    )
    archiving = replace(batch, stage=Stage.ARCHIVING)
    ledger.record(archiving, [transitions.release(one) for one in ledger.load(archiving)])


def status(fleet: Fleet) -> Status:
    status = fleet.ledger().status("ph", ID)
    assert status is not None
    return status


def events(fleet: Fleet) -> list[str]:
    return [event.name for event in status(fleet).timeline]


def test_a_vendor_that_is_busy_when_asked_for_links_is_left_alone_for_as_long_as_it_says(
    fleet: Fleet,
) -> None:
    """Its `Retry-After` holds the region, whoever asked; and no decision waits so long."""
    settled_with_dead_links(fleet)
    fleet.vendor.set_faults(Faults(Mode.BUSY, retry_after_s=600))
    fleet.worker()
    (hold,) = until(lambda: fleet.stats().counts("ph").holds, "the region rests")
    assert (hold.reason, hold.half_open) == ("VENDOR_BUSY", False)
    with fleet.redis() as redis:
        assert 500 < hold.until_ms / 1000 - redis.time()[0] < 601
    fleet.await_delivered(1)
    assert events(fleet) == ["settled", "decide_first", "decided", "delivered"]
    until(lambda: '"event": "region_held"' in fleet.log("w1"), "a log says so")
