"""A worker whose calls are stuck is as good as dead: others take over, and whoever looks after it can see it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from schemas.enqueue import EnqueueRequest
from tests.acceptance.fleet import until

if TYPE_CHECKING:
    from tests.acceptance.fleet import Fleet

pytestmark = pytest.mark.timeout(150)


def test_what_a_stuck_worker_holds_is_picked_up_by_another_and_its_health_file_grows_old(
    fleet: Fleet,
) -> None:
    """Promise 4, where nothing died: its process lives, its dispatcher turns, and nothing comes of it."""
    alive = fleet.folder / "alive"
    fleet.environment["EKYC_LEASE"] = "5"
    stuck = fleet.start(
        *("celery", "-A", "tests.acceptance.stuck", "worker", "-n", "stuck@test", "-l", "INFO"),
        name="stuck",
        EKYC_HEALTH_FILE=str(alive),
    )
    until(lambda: "ready." in fleet.log("stuck"), "the worker gets ready")
    names = ["hangs-0001", *(f"pass-{number:04}" for number in range(8))]
    fleet.ledger().enqueue([EnqueueRequest(name, "ph") for name in names])
    until(lambda: fleet.census().counts("ph").in_flight == len(names), "it has them all in hands")

    fleet.worker("well")
    # What hangs there is no magic id of the sandbox's: the other worker asks, and it passes.
    fleet.await_done(len(names))
    assert sorted(message["decision"]["signature_id"] for message in fleet.delivered()) == sorted(names)

    assert stuck.poll() is None
    until(lambda: time.time() - alive.stat().st_mtime > 12, "its health file is older than one that is well")
