"""What is slow in one region delays no other: hundreds of images or answers that hang leave room for everybody else."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from schemas.enqueue import EnqueueRequest
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.acceptance.fleet import Fleet

pytestmark = pytest.mark.timeout(180)

#: Verifications of a turn: of the slow region, more than a process works on at a time, and of the other one.
SLOW, QUICK = 600, 40

#: What a slow image, or a slow answer, takes: less than it may, so that it does hold its place.
HANG_S = 9


def enqueue(fleet: Fleet, region: str, name: str, number: int) -> None:
    fleet.ledger().enqueue([EnqueueRequest(f"{name}-{region}-{one}", region) for one in range(number)])


def took(fleet: Fleet, name: str) -> float:
    """Seconds until all of the quick region are decided with all of their evidence."""
    before = fleet.stats().counts("sg").evidence.get("complete", 0)
    began_at = time.monotonic()
    enqueue(fleet, "sg", name, QUICK)
    until(
        lambda: fleet.stats().counts("sg").evidence.get("complete", 0) >= before + QUICK,
        "the quick region's evidence is complete",
    )
    fleet.await_done(before + QUICK, "sg")
    return time.monotonic() - began_at


@pytest.mark.parametrize("slow", [f"pass-imgslow{HANG_S}s", f"noimages-latency{HANG_S}s"])
def test_a_slow_region_delays_no_other(fleet: Fleet, slow: str) -> None:
    fleet.worker()
    # Twice: one run may be lucky.
    alone_s = max(took(fleet, f"pass-alone{turn}") for turn in range(2))
    beside_s = []
    for turn in range(3):
        enqueue(fleet, "ph", f"{slow}-{turn}", SLOW)
        until(lambda: fleet.stats().counts("ph").in_flight >= SLOW // 3, "the slow region is under way")
        beside_s.append(took(fleet, f"pass-beside{turn}"))
        slow_counts = fleet.stats().counts("ph")
        assert slow_counts.done < slow_counts.enqueued, "the slow region was over: the test shows nothing"
    told = ", ".join(f"{seconds:.1f} s" for seconds in beside_s)
    print(f"{slow}: {QUICK} of another region take {alone_s:.1f} s alone, {told} beside it")  # noqa: T201
    assert max(beside_s) < HANG_S + 5 * alone_s
    assert sorted(beside_s)[1] < HANG_S / 2 + 5 * alone_s
