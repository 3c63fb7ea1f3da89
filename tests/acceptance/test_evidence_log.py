"""The log of a fleet: everything that ends is in it within a minute, whichever worker is killed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from schemas.enqueue import EnqueueRequest
from tests.support.logged_evidence import PRIVATE, PUBLIC
from tests.support.waiting import until
from worker.ledger.evidence_log import EvidenceLogQueue

if TYPE_CHECKING:
    from tests.acceptance.fleet import Fleet

pytestmark = pytest.mark.timeout(240)


def logged(fleet: Fleet) -> int:
    with fleet.redis() as redis:
        return EvidenceLogQueue(redis).state("ph").seen.size


def enqueue(fleet: Fleet, number: int, start: int = 0) -> None:
    fleet.ledger().enqueue([EnqueueRequest(f"pass-{one}", "ph") for one in range(start, start + number)])


def test_what_ends_is_logged_whichever_worker_is_killed(fleet: Fleet) -> None:
    fleet.environment["EKYC_LOG_KEY"] = PRIVATE
    workers = {name: fleet.worker(name) for name in ("w1", "w2")}
    enqueue(fleet, 20)
    fleet.await_done(20)
    until(lambda: logged(fleet) == 20, "the log has 20 entries")
    until(
        lambda: any("evidence_logged" in fleet.log(name) for name in workers),
        "the worker that did it says so",
    )
    (holder,) = [name for name in workers if "evidence_logged" in fleet.log(name)]
    enqueue(fleet, 20, start=20)
    workers[holder].kill()
    fleet.await_done(40)
    until(lambda: logged(fleet) == 40, "another worker continues the log", patience_s=90)
    ended = fleet.run("worker.cli", "evidence", "verify", "--all", "--json")
    report = json.loads(ended.stdout)
    assert (ended.returncode, report["findings"]) == (0, [])
    assert [(each["size"], each["checked"]) for each in report["regions"] if each["region"] == "ph"] == [
        (40, 40)
    ]
    ended = fleet.run(
        "worker.cli", "evidence", "verify", "pass-7", "--region", "ph", "--offline", "--key", PUBLIC
    )
    assert ended.returncode == 0
    assert PRIVATE.split("+", 4)[4] not in "".join(fleet.log(name) for name in workers)


def test_without_a_key_a_worker_says_so_and_keeps_no_log(fleet: Fleet) -> None:
    fleet.environment["EKYC_LOG_KEY"] = ""
    fleet.worker("w1")
    enqueue(fleet, 2)
    fleet.await_done(2)
    assert fleet.log("w1").count("EKYC_LOG_KEY is not set") == 1
    assert not (fleet.evidence / "log").exists()
    with fleet.redis() as redis:
        assert redis.keys("*:log*") == []


def test_a_key_that_cannot_sign_stops_a_worker_with_one_line(fleet: Fleet) -> None:
    for key in (PUBLIC, "nonsense"):
        ended = fleet.run("celery", "-A", "worker", "worker", EKYC_LOG_KEY=key)
        assert ended.returncode == 2
        (line,) = [line for line in ended.stderr.splitlines() if line.startswith("ekyc:")]
        assert line.startswith("ekyc: EKYC_LOG_KEY: ")
