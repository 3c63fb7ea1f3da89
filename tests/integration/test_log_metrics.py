"""The figures of the log, and what `ekyc doctor` says about it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.core import CollectorRegistry

from tests.support.logged_evidence import PRIVATE, PUBLIC, REGION, LoggedEvidence, names
from worker.decisions.table import Table
from worker.keyring import format_key, new_key
from worker.observability.metrics.collector import Metrics

if TYPE_CHECKING:
    from pathlib import Path

    from redis import Redis

    from tests.support.cli_process import Ekyc

NAMES = ("entries", "pending", "oldest_pending_seconds", "damaged")


@pytest.fixture
def world(redis: Redis, tmp_path: Path) -> LoggedEvidence:
    return LoggedEvidence(redis, (tmp_path / "evidence").as_uri())


@pytest.fixture
def ekyc(ekyc: Ekyc, world: LoggedEvidence) -> Ekyc:
    return ekyc.with_env(EKYC_EVIDENCE_URL=world.url, EKYC_LOG_KEY=PRIVATE, ADVANCE_REGIONS="ph")


def figures(redis: Redis, region: str = REGION) -> list[float | None]:
    registry = CollectorRegistry()
    registry.register(Metrics(redis, [REGION, "sg"], Table.load(None)))
    return [registry.get_sample_value(f"ekyc_evidence_log_{name}", {"region": region}) for name in NAMES]


def findings(ekyc: Ekyc) -> list[dict[str, Any]]:
    checks = json.loads(ekyc("doctor", "--json").out)["checks"]
    return [each for each in checks if each["check"] == "evidence log"]


def test_the_figures_are_those_of_the_log(world: LoggedEvidence, redis: Redis) -> None:
    assert figures(redis) == [None] * 4
    world.end(*names(3))
    redis.zadd(f"ekyc:{{{REGION}}}:log:pending", {"id000001": redis.time()[0] * 1000 - 120_000})
    entries, pending, oldest_s, damaged = figures(redis)
    assert (entries, pending, damaged) == (0, 3, 0)
    assert oldest_s is not None
    assert 119 < oldest_s < 180
    world.sequencer().turn()
    assert figures(redis) == [3, 0, 0, 0]
    world.queue.fault(REGION, "EVIDENCE_LOG_DAMAGED")
    assert figures(redis) == [3, 0, 0, 1]
    assert figures(redis, "sg") == [None] * 4


def test_the_doctor_names_the_public_key_of_a_healthy_log(ekyc: Ekyc, world: LoggedEvidence) -> None:
    world.end("one")
    world.sequencer().turn()
    assert [(each["level"], each["said"]) for each in findings(ekyc)] == [("ok", f"signed by {PUBLIC}")]


def test_the_doctor_warns_without_a_key_and_refuses_one_that_cannot_sign(ekyc: Ekyc) -> None:
    (found,) = findings(ekyc.with_env(EKYC_LOG_KEY=""))
    assert (found["level"], "EKYC_LOG_KEY is not set" in found["said"]) == ("warning", True)
    (found,) = findings(ekyc.with_env(EKYC_LOG_KEY=PUBLIC))
    assert (found["level"], "cannot sign" in found["said"]) == ("error", True)


def test_the_doctor_says_which_key_is_missing_for_what_waits(
    ekyc: Ekyc, world: LoggedEvidence, redis: Redis
) -> None:
    good, odd = format_key(new_key("good")), format_key(new_key("odd"))
    LoggedEvidence(redis, world.url, keys=odd).end("waits")
    here = ekyc.with_env(EKYC_EVIDENCE_KEYS=good)
    redis.zadd(f"ekyc:{{{REGION}}}:log:pending", {"waits": redis.time()[0] * 1000 - 90_000})
    (said,) = [each["said"] for each in findings(here) if each["level"] == "warning"]
    assert said.startswith("ph: 1 verifications wait for the log, since 9")
    assert "not all can be logged from here: " in said
    assert "under the key odd" in said
    # The worker that continues the log notes it for the console, until it can open it.
    LoggedEvidence(redis, world.url, keys=good).sequencer().turn()
    assert world.queue.state(REGION).unopened == 1
    assert any(
        "workers cannot log 1 of them; nor can it be logged from here" in each["said"]
        for each in findings(here)
    )
    LoggedEvidence(redis, world.url, keys=f"{good},{odd}").sequencer().turn()
    assert (world.queue.state(REGION).unopened, world.queue.state(REGION).pending) == (0, 0)


def test_the_doctor_names_what_is_in_the_queue_and_is_no_id(ekyc: Ekyc, world: LoggedEvidence) -> None:
    world.redis.zadd(f"ekyc:{{{REGION}}}:log:pending", {"../planted": 1})
    (said,) = [each["said"] for each in findings(ekyc) if each["level"] == "warning"]
    assert "not all can be logged from here: evidence: a signature id is" in said


def test_the_doctor_finds_what_waits_what_is_cut_off_and_what_is_damaged(
    ekyc: Ekyc, world: LoggedEvidence, redis: Redis
) -> None:
    world.end(*names(2))
    world.sequencer().turn()
    world.queue.add(REGION, ["waits"])
    redis.zadd(f"ekyc:{{{REGION}}}:log:pending", {"waits": redis.time()[0] * 1000 - 3_600_000})
    (world.folder / "checkpoint").unlink()
    said = {each["said"].partition(", since")[0]: each["level"] for each in findings(ekyc)}
    assert said.pop(f"signed by {PUBLIC}") == "ok"
    assert said == {
        "ph: 1 verifications wait for the log": "warning",
        "ph: the checkpoint has 0 entries, and the ledger has seen 2": "warning",
    }
    world.queue.fault(REGION, "EVIDENCE_LOG_ROLLED_BACK")
    (world.folder / "checkpoint").write_text("nonsense")
    assert [each["level"] for each in findings(ekyc)] == ["ok", "error", "error"]
