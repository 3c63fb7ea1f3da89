"""A Redis whose clock goes back an hour, or leaps ahead by hours, as on a replica that is promoted."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from schemas.enqueue import EnqueueRequest
from tests.support.faketime import needs_faketime, server_ahead
from tests.support.ports import free_port
from worker.ledger import Ledger, Stats, transitions
from worker.ledger.audit import AuditLog, Via, Wanted
from worker.ledger.connection import connect
from worker.ledger.models import Batch, Stage
from worker.ledger.transitions import Heard

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from worker.ledger.models import Verification

pytestmark = [needs_faketime, pytest.mark.timeout(90)]

HOUR_S = 3600
LEASE_S = 2.0

#: How long anybody may wait: some seconds more than the longest countdown here.
PATIENCE_S = 20.0


def a_ledger(port: int) -> Ledger:
    return Ledger(connect(f"redis://127.0.0.1:{port}/0"), lease_s=LEASE_S, rate=50.0)


def enqueue(ledger: Ledger, *ids: str, region: str = "ph") -> None:
    ledger.enqueue([EnqueueRequest(one, region) for one in ids])


def take(ledger: Ledger, limit: int = 1) -> tuple[Batch, list[Verification]]:
    (batch,) = ledger.claim("ph", limit=limit).batches
    return batch, ledger.load(batch)


def claimed(ledger: Ledger, wanted: Iterable[str], region: str = "ph") -> list[Verification]:
    """Claim until all have been, as a dispatcher does; nobody waits long."""
    missing, found = set(wanted), []
    give_up_at = time.monotonic() + PATIENCE_S
    while missing:
        assert time.monotonic() < give_up_at, f"{missing} still wait"
        for batch in ledger.claim(region, limit=64).batches:
            missing -= set(batch.signature_ids)
            found += ledger.load(batch)
        time.sleep(0.05)
    return found


def pending(one: Verification, *, in_s: float) -> transitions.Transition:
    return transitions.repoll(one, Heard("pending", "t", nulls=1), in_s=in_s)


def fill(ledger: Ledger) -> None:
    """One that waits for its countdown, one under a lease, one that is due, and a region on hold."""
    enqueue(ledger, "waits")
    batch, (waits,) = take(ledger)
    ledger.record(batch, [pending(waits, in_s=3.0)])
    enqueue(ledger, "leased")
    take(ledger)
    enqueue(ledger, "due")
    enqueue(ledger, "held", region="sg")
    ledger.claim("sg", limit=0)
    ledger.hold("sg", for_s=3.0, reason="VENDOR_BUSY")


def test_nobody_waits_an_hour_for_a_clock_that_goes_back(tmp_path: Path) -> None:
    """No process has a memory of the time before: the workers were started again, too."""
    port = free_port()
    with server_ahead(tmp_path, port, HOUR_S):
        fill(a_ledger(port))
    with server_ahead(tmp_path, port, 0) as redis:
        ledger = a_ledger(port)
        enqueue(ledger, "new")
        found = claimed(ledger, ["waits", "leased", "due", "new"])
        found += claimed(ledger, ["held"], region="sg")
        assert all(-1.0 <= one.age_s < PATIENCE_S * 2 for one in found)
        decided_at_s = (found[0].read_at_ms - found[0].clock_ahead_ms) / 1000
        assert abs(decided_at_s - time.time()) < PATIENCE_S * 2
        assert Stats(redis).counts("ph").oldest_due_s < PATIENCE_S
        status = ledger.status("ph", "new")
        assert status is not None
        assert status.leased_until_ms is not None
        assert status.leased_until_ms - status.now_ms <= LEASE_S * 1000


def test_no_age_leaps_with_a_clock_that_leaps_ahead(tmp_path: Path) -> None:
    """Workers live through it. What others write before the next claim is moved back."""
    port = free_port()
    ledger = a_ledger(port)
    with server_ahead(tmp_path, port, 0):
        fill(ledger)
        batch = Batch("b0", "ph", Stage.POLLING, ())
        for one in ledger.claim("ph", limit=64).batches:
            batch = one
    with server_ahead(tmp_path, port, 3 * HOUR_S):
        stranger = a_ledger(port)
        enqueue(stranger, "new", "nudged")
        stranger.nudge("ph", ["nudged"])
        # The dispatcher's message is taken up before the next claim: its age decides whether its deadline has passed.
        assert all(one.age_s < PATIENCE_S * 2 for one in ledger.load(batch))
        found = claimed(ledger, ["waits", "leased", "new", "nudged"])
        assert all(-1.0 <= one.age_s < PATIENCE_S * 2 for one in found)
        # A worker that is new sees the same clock.
        enqueue(stranger, "newer")
        assert all(-1.0 <= one.age_s < PATIENCE_S for one in claimed(stranger, ["newer"]))


def test_a_clock_that_was_set_right_again_changes_nothing(tmp_path: Path) -> None:
    """Ahead, unseen by anybody, and back."""
    port = free_port()
    for number, ahead_s in enumerate((0, 3 * HOUR_S, 0)):
        with server_ahead(tmp_path, port, ahead_s):
            ledger = a_ledger(port)
            enqueue(ledger, f"v{number}")
            found = claimed(ledger, [f"v{other}" for other in range(number + 1)])
            assert all(one.age_s >= -1.0 for one in found)


def test_a_clock_that_leaps_for_a_moment_removes_nothing_from_the_audit_log(tmp_path: Path) -> None:
    """And what people do later has its own time, and is found by it."""
    port = free_port()

    def act(name: str) -> None:
        with connect(f"redis://127.0.0.1:{port}/0") as redis:
            Ledger(redis).hold("ph", for_s=1, reason=name, who="maria", via=Via.CLI)
            AuditLog(redis).record("audit_export", who="maria", via=Via.CLI, detail=name)

    with server_ahead(tmp_path, port, 0):
        for number in range(30):
            act(f"before {number}")
    with server_ahead(tmp_path, port, 2 * 366 * 24 * HOUR_S):
        act("in the leap")
    with server_ahead(tmp_path, port, 0) as redis:
        for number in range(4):
            act(f"after {number}")
        log, now_ms = AuditLog(redis), round(time.time() * 1000)
        assert len(list(log.entries())) == 2 * 35
        today = list(log.entries(Wanted(since_ms=now_ms - HOUR_S * 1000, until_ms=now_ms + HOUR_S * 1000)))
        assert [one.detail for one in today if one.act == "audit_export"][:4] == [
            f"after {number}" for number in (3, 2, 1, 0)
        ]
        assert len(today) == 2 * 34
        assert (
            len(log.page(Wanted(since_ms=now_ms - HOUR_S * 1000, until_ms=now_ms + HOUR_S * 1000)).entries)
            == 68
        )


def test_a_pause_of_the_whole_fleet_is_no_leap(redis_url: str) -> None:
    """Time that a process has measured itself has passed."""
    ledger = Ledger(connect(redis_url))
    enqueue(ledger, "a")
    claimed(ledger, ["a"])
    with connect(redis_url) as redis:
        redis.hset("ekyc:{ph}:clock", "seen", redis.time()[0] * 1000 - 7_200_000)
        seen_ms, at_s = ledger._seen["ph"]
        ledger._seen["ph"] = (seen_ms - 7_200_000, at_s - 7200)
        ledger.claim("ph", limit=1)
        assert not redis.hexists("ekyc:{ph}:clock", "ahead")
