"""Two workers on one machine are two, for everyone who counts them, without a flag."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import redis as redis_py

from tests.support.waiting import until
from worker.ledger.worker_registry import WorkerRegistry

if TYPE_CHECKING:
    from tests.acceptance.fleet import Fleet

pytestmark = pytest.mark.timeout(180)

WORKER = ("celery", "-A", "worker", "worker", "-l", "INFO")


def names(fleet: Fleet) -> list[str]:
    with redis_py.Redis.from_url(fleet.redis_url) as client:
        return [worker.name for worker in WorkerRegistry(client).present()]


def test_two_that_are_started_alike_have_names_and_health_files_of_their_own(fleet: Fleet) -> None:
    """As `honcho -c worker=2` starts them: with one environment and no flag."""
    fleet.environment["EKYC_HEALTH_FILE"] = str(fleet.folder / "alive-%n")
    for name in ("one", "two"):
        fleet.start(*WORKER, name=name)
    until(lambda: len(names(fleet)) == 2, "both have signed in")
    first, second = names(fleet)
    assert first != second
    files = {fleet.folder / f"alive-{name.partition('@')[0]}" for name in (first, second)}
    until(lambda: all(file.exists() for file in files), "each has a health file of its own")

    stats = json.loads(fleet.run("worker.cli", "stats", "--json").stdout)
    assert sorted(worker["name"] for worker in stats["workers"]) == [first, second]
    # By name, so that it ends with the second reply instead of with its timeout.
    to = ("--destination", f"{first},{second}", "--timeout", "30")
    pinged = fleet.run("celery", "-A", "worker", "inspect", "ping", "--json", *to)
    assert set(json.loads(pinged.stdout)) == {first, second}
    assert "Duplicate" not in pinged.stderr


def test_two_that_were_given_one_name_still_count_as_two(fleet: Fleet) -> None:
    for name in ("one", "two"):
        fleet.start(*WORKER, "-n", "same@test", name=name)
    until(lambda: names(fleet) == ["same@test"] * 2, "both have signed in")
    until(
        lambda: "node_name_shared" in fleet.log("one") + fleet.log("two"), "they say that the name is shared"
    )


def test_a_health_file_of_another_worker_is_refused(fleet: Fleet) -> None:
    fleet.environment["EKYC_HEALTH_FILE"] = file = str(fleet.folder / "alive")
    fleet.worker()
    ended = fleet.run(*WORKER)
    assert ended.returncode == 2
    line = ended.stderr.splitlines()[-1]
    assert line.startswith(f"ekyc: EKYC_HEALTH_FILE: another running worker uses {file}: put %n ")


def test_a_format_that_is_unknown_is_one_line(fleet: Fleet) -> None:
    ended = fleet.run(*WORKER, EKYC_HEALTH_FILE=str(fleet.folder / "alive-%z"))
    assert ended.returncode == 2
    assert "the only formats are %n" in ended.stderr.splitlines()[-1]
