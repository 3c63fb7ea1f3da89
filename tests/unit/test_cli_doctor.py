"""What `ekyc doctor` makes of a Redis that a test cannot have."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from worker.cli.checks import folder, keeping, ledger, vendor
from worker.cli.checks.finding import Level
from worker.cli.checks.keeping import BROKER, LEDGER


@pytest.mark.parametrize(
    ("version", "level"),
    [("5.0.14", Level.ERROR), ("6.0.0", Level.OK), ("7.4.1", Level.OK), ("10.0.0", Level.OK)],
)
def test_a_redis_that_is_too_old_is_an_error(version: str, level: Level) -> None:
    assert ledger._version({"redis_version": version}, "here").level is level


def test_a_file_that_cannot_be_written_is_as_bad_as_none() -> None:
    found = keeping.append_only({"aof_enabled": 1, "aof_last_write_status": "err"}, "always", LEDGER)
    assert found.level is Level.ERROR
    assert "nothing accepted is lost does not hold" in found.said


@pytest.mark.parametrize(
    ("fsync", "level", "said"),
    [
        ("always", Level.OK, "a power cut loses nothing"),
        (
            "everysec",
            Level.WARNING,
            "a kill on a busy machine, loses the last second or two of verifications",
        ),
        ("no", Level.WARNING, "half a minute"),
        (None, Level.OK, "how often it is synced cannot be read"),
    ],
)
def test_how_often_the_file_is_synced_says_what_a_power_cut_takes(
    fsync: str | None, level: Level, said: str
) -> None:
    found = keeping.append_only({"aof_enabled": 1}, fsync, LEDGER)
    assert found.level is level
    assert said in found.said
    if level is Level.WARNING:
        assert "The promise that nothing accepted is lost does not hold then" in found.said
        assert found.todo == "set `appendfsync always` (docs/redis.md)"


@pytest.mark.parametrize(
    ("info", "level", "said"),
    [
        ({"used_memory": 80, "maxmemory": 100}, Level.OK, "0.0 MB of 0.0 MB in use"),
        ({"used_memory": 81, "maxmemory": 100}, Level.WARNING, "when it is full, nothing more is accepted"),
        ({"used_memory": 81, "maxmemory": 0, "total_system_memory": 100}, Level.WARNING, "when it is full"),
        ({"used_memory": 5_000_000, "maxmemory": 0}, Level.OK, "5.0 MB in use, no limit is set"),
        ({}, Level.WARNING, "cannot be read"),
    ],
)
def test_more_than_four_fifths_of_the_memory_is_a_warning(
    info: dict[str, Any], level: Level, said: str
) -> None:
    found = keeping.memory(info, LEDGER)
    assert found.level is level
    assert said in found.said


@pytest.mark.parametrize(
    ("info", "level", "said"),
    [
        ({"role": "master", "redis_mode": "standalone"}, Level.OK, "primary, without replicas"),
        ({"role": "master", "connected_slaves": 1}, Level.OK, "primary with a replica: a failover loses"),
        ({"role": "master", "connected_slaves": 2}, Level.OK, "primary with 2 replicas"),
        ({"role": "slave"}, Level.ERROR, "is a replica"),
        ({"role": "master", "redis_mode": "cluster"}, Level.ERROR, "part of a cluster"),
        ({"role": "master", "server_mode": "cluster"}, Level.ERROR, "part of a cluster"),
        ({"redis_mode": "sentinel"}, Level.ERROR, "is a Sentinel"),
        ({}, Level.WARNING, "cannot be read"),
    ],
)
def test_only_a_primary_by_itself_will_do(info: dict[str, Any], level: Level, said: str) -> None:
    found = ledger._role(info)
    assert found.level is level
    assert said in found.said


def test_what_is_lost_is_not_the_same_in_the_ledger_and_in_the_broker() -> None:
    for stake, what in ((LEDGER, "verifications"), (BROKER, "decisions that the pipeline has not read")):
        for found in (
            keeping.append_only({"aof_enabled": 0}, None, stake),
            keeping.append_only({"aof_enabled": 1}, "everysec", stake),
            keeping.eviction({"maxmemory_policy": "allkeys-lru"}, stake),
        ):
            assert found.check.startswith(stake.prefix)
            assert what in found.said
            assert stake.promise in found.said


def test_a_folder_for_evidence_that_this_account_cannot_make_is_an_error() -> None:
    root = os.geteuid() == 0
    if root:
        os.seteuid(65_534)  # nobody
    try:
        found = folder.to_be_made(Path("/nowhere/evidence"))
    finally:
        if root:
            os.seteuid(0)
    assert found.level is Level.ERROR
    assert found.said == "/nowhere/evidence does not exist, and this account cannot create it in /"


class SlowClock:
    """A Redis whose clock is minutes behind."""

    def time(self) -> tuple[int, int]:
        return 1_000_000, 0


def test_a_clock_that_differs_from_redis_is_a_warning() -> None:
    (found,) = ledger._clock(SlowClock())  # type: ignore[arg-type]
    assert found.level is Level.WARNING
    assert "ahead of Redis" in found.said
    assert "polls come that much later" in found.said


@pytest.mark.parametrize(
    ("skew_s", "level", "said"),
    [
        (120.0, Level.WARNING, "then all verifications of ph wait"),
        (-900.0, Level.ERROR, "then all verifications of ph wait"),
    ],
)
def test_a_clock_that_the_vendor_may_refuse_is_told_as_people_who_wait(
    skew_s: float, level: Level, said: str
) -> None:
    found = vendor._clock("ph", skew_s)
    assert found.level is level
    assert said in found.said
