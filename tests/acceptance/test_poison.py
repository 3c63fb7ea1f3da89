"""What kills workers is taken out of circulation, and what is without measure is bounded."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from schemas.enqueue import EnqueueRequest
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.acceptance.fleet import Fleet

pytestmark = pytest.mark.timeout(240)


def test_what_kills_its_worker_five_times_is_quarantined_without_its_batch(fleet: Fleet) -> None:
    """The worker is killed as soon as the vendor is asked for one of seven. The six others are slow: under way, too."""
    names = [f"pass-latency2sx40-{number}" for number in range(6)]
    poison = "latency9s-always-poison"
    fleet.ledger().enqueue([EnqueueRequest(name, "ph") for name in [poison, *names]])
    for attempt in range(1, 6):
        worker = fleet.worker(f"w{attempt}", EKYC_LEASE="5")
        until(partial(asked, fleet, poison, attempt), f"start {attempt} of the poisonous one")
        os.killpg(worker.pid, signal.SIGKILL)
    fleet.worker("last", EKYC_LEASE="5")
    fleet.await_done(6)
    until(lambda: fleet.stats().counts("ph").quarantined, "the poisonous one is in quarantine")
    assert fleet.stats().counts("ph").quarantine == {"CRASHES_WORKERS": 1}
    assert asks(fleet, poison) == 5
    # A worker that is killed between a delivery and its record delivers twice.
    assert {message["decision"]["signature_id"] for message in fleet.delivered()} == set(names)


def asked(fleet: Fleet, name: str, times: int) -> bool:
    return asks(fleet, name) >= times


def asks(fleet: Fleet, name: str) -> int:
    known = fleet.vendor.verifications().get(name)
    return known["asks"] if known else 0


def test_what_is_without_measure_takes_no_worker(fleet: Fleet) -> None:
    """Bodies, images and drips without end beside ordinary verifications: all end, in bounded memory."""
    worker = fleet.worker(EKYC_LEASE="20")
    hostile = {
        "oversized-always-1": "quarantined",
        "imgoversized-1": "done",
        "notimage-1": "done",
        "slowdrip-1": "done",
        "garbage-1": "done",
    }
    ordinary = [f"pass-{number}" for number in range(50)]
    fleet.ledger().enqueue([EnqueueRequest(name, "ph") for name in [*hostile, *ordinary]])
    fleet.await_done(54)
    until(lambda: fleet.stats().counts("ph").quarantined == 1, "the body without end is in quarantine")
    for name, stage in hostile.items():
        status = fleet.ledger().status("ph", name)
        assert status is not None
        assert status.verification.stage == stage
    assert worker.poll() is None
    peak_kb = next(
        int(line.split()[1])
        for line in Path(f"/proc/{worker.pid}/status").read_text().splitlines()
        if line.startswith("VmHWM")
    )
    assert peak_kb < 300_000
