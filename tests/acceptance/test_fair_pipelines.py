"""A backfill of one pipeline keeps no verification of another one from being polled, archived and decided."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from schemas.enqueue import EnqueueRequest
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.acceptance.fleet import Fleet

pytestmark = pytest.mark.timeout(180)

#: Calls a second, and verifications that are due: the last of them is polled after some minutes.
RATE, BACKFILL = 20, 4000

FRESH = 5

#: Polls of the fleet until all that are fresh are decided. Each of these takes one, and the backfill takes as many; the
#: others are made while the worker archives and delivers.
FEW_POLLS = BACKFILL // 4


def enqueue(fleet: Fleet, pipeline: str, name: str, number: int) -> None:
    fleet.ledger().enqueue(
        [EnqueueRequest(f"{name}-{one}", "ph", pipeline=pipeline) for one in range(number)]
    )


def test_a_fresh_verification_is_decided_while_a_backfill_is_due(fleet: Fleet) -> None:
    enqueue(fleet, "backfill", "pass-n9-backfill", BACKFILL)
    fleet.worker(EKYC_RATE=str(RATE))
    until(lambda: fleet.stats().counts("ph").polls > RATE, "the backfill is polled")
    before = fleet.stats().counts("ph").polls
    enqueue(fleet, "shop", "pass-fresh", FRESH)
    fleet.await_done(FRESH)
    counts = fleet.stats().counts("ph")
    assert counts.polls - before < FEW_POLLS
    assert counts.pipelines["backfill"] > BACKFILL // 2
    assert {message["decision"]["signature_id"] for message in fleet.delivered()} == {
        f"pass-fresh-{one}" for one in range(FRESH)
    }
