"""An evidence store that is away, unfit, or has lost what it kept: few vendor calls, and nobody forgotten."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from schemas.enqueue import EnqueueRequest
from tests.support.bucket_stub import S3
from tests.support.waiting import until
from worker.ledger import Quarantine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.acceptance.fleet import Fleet

pytestmark = pytest.mark.timeout(180)

#: Verifications, and for how long the store is away under them.
MANY, AWAY_S = 120, 6.0


@pytest.fixture
def s3(fleet: Fleet) -> Iterator[S3]:
    """A bucket that the fleet uses."""
    with S3().running() as stub:
        fleet.environment |= stub.environment() | {"EKYC_EVIDENCE_URL": "s3://bucket/ekyc"}
        yield stub


def asks(fleet: Fleet) -> list[int]:
    """How often the vendor was asked for each id."""
    return [one["asks"] for one in fleet.vendor.verifications().values()]


def enqueue(fleet: Fleet, number: int, start: int = 0) -> None:
    fleet.ledger().enqueue([EnqueueRequest(f"pass-{one}", "ph") for one in range(start, start + number)])


@pytest.mark.parametrize("refuses", [(503, "SlowDown"), (403, "AccessDenied")])
def test_a_store_that_is_away_costs_few_vendor_calls_and_all_are_counted(
    fleet: Fleet, s3: S3, refuses: tuple[int, str]
) -> None:
    workers = [fleet.worker("w1"), fleet.worker("w2")]
    s3.refuses = refuses
    enqueue(fleet, MANY)
    until(lambda: fleet.stats().counts("ph").faults.get("EVIDENCE_UNAVAILABLE"), "a fault is counted")
    time.sleep(AWAY_S)
    during = sum(asks(fleet))
    s3.refuses = None
    fleet.await_done(MANY)
    counts = fleet.stats().counts("ph")
    told = f"{during} calls meanwhile, {sum(asks(fleet))} in all"
    print(f"{MANY} verifications, away for {AWAY_S:.0f} s: {told}")  # noqa: T201
    assert sum(asks(fleet)) <= 2 * MANY + 20
    assert counts.polls == sum(asks(fleet)), "every call of the vendor is counted"
    assert len(fleet.delivered()) == MANY
    assert all(worker.poll() is None for worker in workers)

    def said(event: str) -> list[int]:
        return [fleet.log(name).count(f'"{event}"') for name in ("w1", "w2")]

    # The last decision may be of the one worker while the other's probe is still under way.
    until(lambda: said("evidence_unavailable") == said("evidence_recovered"), "both have recovered")
    assert 1 <= sum(said("evidence_unavailable")) <= 4


def test_a_disk_with_room_for_a_probe_alone_trips_the_breaker_too(fleet: Fleet) -> None:
    """The probe is kept, no answer is: its folder cannot be made."""
    fleet.worker()
    (fleet.evidence / "ph").touch()
    enqueue(fleet, MANY)
    until(lambda: fleet.log("w1").count("evidence_unavailable"), "the breaker trips")
    time.sleep(AWAY_S)
    (fleet.evidence / "ph").unlink()
    fleet.await_done(MANY)
    print(f"{MANY} verifications: {sum(asks(fleet))} calls in all")  # noqa: T201
    assert sum(asks(fleet)) <= 3 * MANY
    assert fleet.stats().counts("ph").polls == sum(asks(fleet))


def test_a_folder_that_is_broken_for_one_region_holds_no_other(fleet: Fleet) -> None:
    fleet.worker()
    (fleet.evidence / "ph").touch()
    enqueue(fleet, MANY)
    until(lambda: fleet.log("w1").count("evidence_unavailable"), "the breaker trips")
    fleet.ledger().enqueue([EnqueueRequest(f"pass-sg-{one}", "sg") for one in range(MANY)])
    until(lambda: fleet.stats().counts("sg").done == MANY, "the other region is decided")
    assert fleet.stats().counts("ph").done == 0


def test_a_store_that_replaces_files_starts_no_worker_and_is_an_error_of_the_doctor(
    fleet: Fleet, s3: S3
) -> None:
    s3.overwrites = True
    ended = fleet.run("celery", "-A", "worker", "worker")
    assert ended.returncode == 2, ended.stderr
    (line,) = [line for line in ended.stderr.splitlines() if line.startswith("ekyc: ")]
    assert "are not written once" in line
    assert "Traceback" not in ended.stderr
    examined = json.loads(fleet.run("worker.cli", "doctor", "--json").stdout)
    (said,) = [check for check in examined["checks"] if check["check"] == "evidence"]
    assert (said["level"], "are not written once" in said["said"]) == ("error", True)


def test_a_store_that_was_away_at_the_start_is_proved_before_it_is_used(fleet: Fleet, s3: S3) -> None:
    """It comes back as one that replaces files: nobody is asked for, and nothing is written, until it does not."""
    s3.refuses, s3.overwrites = (503, "SlowDown"), True
    fleet.worker()
    enqueue(fleet, 3)
    s3.refuses = None
    until(lambda: "evidence_unsuitable" in fleet.log("w1"), "the worker says why")
    assert asks(fleet) == []
    assert not [path for path in s3.objects if path.endswith("answer.json")]
    s3.overwrites = False
    fleet.await_done(3)


def evidence_that_is_kept(fleet: Fleet) -> None:
    """Let a worker decide one verification, and end."""
    worker = fleet.worker()
    enqueue(fleet, 1)
    fleet.await_done(1)
    worker.terminate()
    worker.wait(30)


@pytest.mark.parametrize("has_mount_point", [False, True])
def test_a_folder_that_is_not_mounted_starts_no_worker_and_is_an_error_of_the_doctor(
    fleet: Fleet, *, has_mount_point: bool
) -> None:
    evidence_that_is_kept(fleet)
    fleet.evidence.rename(fleet.folder / "away")
    if has_mount_point:
        fleet.evidence.mkdir()
    enqueue(fleet, 1, start=1)
    ended = fleet.run("celery", "-A", "worker", "worker")
    assert ended.returncode == 2, ended.stderr
    (line,) = [line for line in ended.stderr.splitlines() if line.startswith("ekyc: EKYC_EVIDENCE_URL")]
    assert f"file://{fleet.evidence} does not hold the evidence of ph, sg" in line
    assert "mount its disk" in line
    assert "`ekyc ledger accept`" in line
    examined = fleet.run("worker.cli", "doctor", "--json")
    assert examined.returncode == 1
    (said,) = [check for check in json.loads(examined.stdout)["checks"] if check["check"] == "evidence"]
    assert (said["level"], "does not hold the evidence of ph, sg" in said["said"]) == ("error", True)
    assert fleet.evidence.exists() is has_mount_point
    assert not has_mount_point or not list(fleet.evidence.iterdir()), "nothing is written"

    if has_mount_point:
        fleet.evidence.rmdir()
    (fleet.folder / "away").rename(fleet.evidence)
    fleet.worker("w2")
    fleet.await_done(2)


def test_a_store_that_is_meant_to_begin_empty_is_accepted_by_a_person(fleet: Fleet) -> None:
    evidence_that_is_kept(fleet)
    fleet.environment["EKYC_EVIDENCE_URL"] = f"file://{fleet.folder / 'second'}"
    accept = ("worker.cli", "ledger", "accept")
    assert fleet.run(*accept, "--yes").returncode == 2, "the folder is not created by a command"
    (fleet.folder / "second").mkdir()
    asked = fleet.run(*accept)
    assert asked.returncode == 2
    assert f"in place of file://{fleet.evidence}" in asked.stderr
    accepted = fleet.run(*accept, "--yes", "--who", "ana")
    assert accepted.returncode == 0, accepted.stderr
    with fleet.redis() as redis:
        (act,) = Quarantine(redis, who="").acts("ph")
        before = redis.hget("ekyc:{ph}:ledger", "before")
    assert (act.name, act.worker, before) == ("accept", "ana", None)
    assert act.detail.endswith("with another evidence store")
    assert "nothing to accept" in fleet.run(*accept).stdout
    fleet.worker("w2")
    enqueue(fleet, 1, start=1)
    fleet.await_done(2)
    assert (fleet.folder / "second" / "ph" / "pass-1" / "answer.json").exists()


def test_a_store_that_comes_back_without_its_evidence_is_not_used(fleet: Fleet, s3: S3) -> None:
    """The worker could not look when it started. What its ledger knows is checked before the store is used."""
    evidence_that_is_kept(fleet)
    kept = dict(s3.objects)
    s3.objects.clear()
    s3.refuses = (503, "SlowDown")
    fleet.worker("w2")
    enqueue(fleet, 1, start=1)
    s3.refuses = None
    until(lambda: "evidence_unsuitable" in fleet.log("w2"), "the worker says why")
    assert not s3.objects
    s3.objects.update(kept)
    fleet.await_done(2)


def test_a_bucket_that_comes_back_empty_under_a_running_worker_is_not_used(fleet: Fleet, s3: S3) -> None:
    """The worker has used it, so it knows its ledger: what that knows is checked again after each outage."""
    fleet.worker()
    enqueue(fleet, 1)
    fleet.await_done(1)
    s3.refuses = (503, "SlowDown")
    enqueue(fleet, 1, start=1)
    until(lambda: "evidence_unavailable" in fleet.log("w1"), "the breaker trips")
    kept = dict(s3.objects)
    s3.objects.clear()
    s3.refuses = None
    until(lambda: "evidence_unsuitable" in fleet.log("w1"), "the worker says why")
    assert not s3.objects
    assert fleet.stats().counts("ph").done == 1
    s3.objects.update(kept)
    fleet.await_done(2)


def test_evidence_that_is_lost_again_and_again_goes_to_a_person(fleet: Fleet) -> None:
    """The store keeps nothing of what it takes: no retry can fix that."""
    with S3().running() as stub:
        stub.forgets = "answer.json"
        fleet.environment |= stub.environment() | {"EKYC_EVIDENCE_URL": "s3://bucket/ekyc"}
        fleet.worker()
        enqueue(fleet, 1)
        until(lambda: fleet.stats().counts("ph").quarantined, "it is in quarantine")
    assert fleet.stats().counts("ph").quarantine == {"EVIDENCE_LOST": 1}
    assert asks(fleet) == [3]
    assert fleet.stats().counts("ph").polls == 3
