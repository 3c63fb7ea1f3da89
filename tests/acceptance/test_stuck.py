"""A worker whose calls are stuck takes nothing from others: it stops, gives back what it holds, and ends."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest

from schemas.enqueue import EnqueueRequest
from tests.support.rabbitmq import installed
from tests.support.waiting import until
from worker.runtime.watchdog import EXIT_STUCK

if TYPE_CHECKING:
    from tests.acceptance.fleet import Fleet, Process
    from tests.support.rabbitmq import RabbitMQ

pytestmark = pytest.mark.timeout(240)

#: Longer than a process stands still on a busy machine: a lease that lapses would be counted.
LONG_LEASE = {"EKYC_LEASE": "30"}

STUCK = ("celery", "-A", "tests.acceptance.stuck", "worker", "-n", "stuck@test", "-l", "INFO")


def started(fleet: Fleet, **environment: str) -> Process:
    worker = fleet.start(*STUCK, name="stuck", **environment)
    until(lambda: "ready." in fleet.log("stuck"), "the worker gets ready")
    return worker


def enqueue(fleet: Fleet, *names: str) -> None:
    fleet.ledger().enqueue([EnqueueRequest(name, "ph") for name in names])


def events(fleet: Fleet, name: str) -> list[str]:
    status = fleet.ledger().status("ph", name)
    assert status is not None
    return [event.name for event in status.timeline]


def test_a_stuck_worker_gives_back_what_it_holds_takes_nothing_more_and_ends(fleet: Fleet) -> None:
    """Promise 4, where nothing died: its process lives, its dispatcher runs, and its calls make no progress."""
    alive = fleet.folder / "alive"
    stuck = started(fleet, EKYC_HEALTH_FILE=str(alive), **LONG_LEASE)
    held = ["hangs-0001", *(f"pass-{number:04}" for number in range(8))]
    enqueue(fleet, *held)
    until(lambda: "blocks" in fleet.log("stuck"), "its calls are stuck")
    # It shares the queue with the other worker, which starts while it is stuck.
    fleet.worker("well", **LONG_LEASE)
    until(lambda: "calls_stuck" in fleet.log("stuck"), "it notices")
    until(lambda: "Canceling queue" in fleet.log("stuck"), "it stops consuming")
    later = [f"pass-1{number:03}" for number in range(60)]
    enqueue(fleet, *later)
    # What hangs there is no magic id of the sandbox's: the other worker asks, and it passes.
    fleet.await_done(len(held + later))
    assert sorted(each["decision"]["signature_id"] for each in fleet.delivered()) == sorted(held + later)

    assert stuck.wait(timeout=60) == EXIT_STUCK
    assert time.time() - alive.stat().st_mtime > 2, "its health file has aged"
    assert '"signature_id": "hangs-0001"' in next(
        line for line in fleet.log("stuck").splitlines() if "calls_stuck" in line
    )
    # Nothing was counted against anybody: no lease had to expire.
    assert not [name for name in held + later if "lease_expired" in events(fleet, name)]
    assert "worker_stuck" in events(fleet, "hangs-0001")


def test_a_worker_that_was_stuck_for_a_while_goes_on(fleet: Fleet) -> None:
    stuck = started(fleet)
    enqueue(fleet, "pauses-0001", "pass-0001")
    fleet.await_done(2)
    until(lambda: "Started consuming" in fleet.log("stuck"), "it consumes again")
    enqueue(fleet, "pass-0002", "pass-0003")
    fleet.await_done(4)
    assert "calls_recovered" in fleet.log("stuck")
    assert len(fleet.delivered()) == 4
    stuck.send_signal(signal.SIGTERM)
    assert stuck.wait(timeout=60) == 0


@pytest.mark.skipif(not installed(), reason="RabbitMQ is not installed (Debian: rabbitmq-server)")
def test_on_rabbitmq_it_pauses_and_goes_on_as_well(fleet: Fleet, rabbitmq: RabbitMQ) -> None:
    fleet.environment["CELERY_BROKER_URL"] = fleet.broker_url = rabbitmq.url
    test_a_worker_that_was_stuck_for_a_while_goes_on(fleet)


def test_a_stuck_worker_that_is_told_to_stop_stops(fleet: Fleet) -> None:
    stuck = started(fleet, **LONG_LEASE)
    enqueue(fleet, "hangs-0001", "pass-0001")
    until(lambda: "blocks" in fleet.log("stuck"), "its calls are stuck")
    stuck.send_signal(signal.SIGTERM)
    assert stuck.wait(timeout=60) in {0, EXIT_STUCK}
    assert fleet.stats().counts("ph").in_flight == 0
    assert "lease_expired" not in events(fleet, "hangs-0001")
