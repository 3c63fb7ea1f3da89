"""A client that can write to Redis, and to nothing else, makes no approval.

Everything is real: Valkey, messages, tasks. The attacker knows the code, reads all of Redis, and has no key.
"""

from __future__ import annotations

import json
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final

import pytest
from redis import Redis

from schemas.decision import decision_id
from tests.support.redis_attacker import DECIDED, PASSED, TARGET, Attacker
from worker.client import enqueue
from worker.ledger import Quarantine
from worker.ledger.fields import Field
from worker.ledger.scripts import prefix
from worker.policy.outcome_seal import Outcome, Sealer
from worker.testing import LocalFleet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: A genuine approval, all of which the attacker may copy.
GENUINE: Final = "pass-1"


@contextmanager
def running(**settings: str) -> Iterator[tuple[LocalFleet, Attacker]]:
    with LocalFleet(settings=settings) as fleet, Redis.from_url(fleet.redis_url) as redis:
        enqueue(GENUINE, "ph", context={"application": 1})
        enqueue(TARGET, "ph", context={"application": 2})
        names = {each.signature_id: each.name for each in fleet.drain()}
        assert names == {GENUINE: "approve", TARGET: "reject"}
        yield fleet, Attacker(redis, fleet.redis_url)


@pytest.fixture(scope="module")
def fleet_and_attacker() -> Iterator[tuple[LocalFleet, Attacker]]:
    with running() as both:
        yield both


@pytest.fixture
def fleet(fleet_and_attacker: tuple[LocalFleet, Attacker]) -> LocalFleet:
    return fleet_and_attacker[0]


@pytest.fixture
def attacker(fleet_and_attacker: tuple[LocalFleet, Attacker]) -> Iterator[Attacker]:
    """What the attacker does is taken back after each test."""
    _, attacker = fleet_and_attacker
    redis = attacker.redis
    before: dict[bytes, Any] = {key: redis.dump(key) for key in redis.scan_iter()}
    yield attacker
    redis.flushall()
    for key, dumped in before.items():
        if dumped:
            redis.restore(key, 0, dumped)


@contextmanager
def without_its_record(fleet: LocalFleet, name: str = TARGET) -> Iterator[None]:
    """While the block runs, the evidence has no decision, as of an older release."""
    record = fleet.evidence / "ph" / name / "decision.json"
    kept = record.read_bytes()
    record.unlink()
    try:
        yield
    finally:
        record.write_bytes(kept)


def forgot(attacker: Attacker, name: str = TARGET) -> None:
    """No decision is left of it."""
    attacker.write(dict.fromkeys(DECIDED, ""), name)


def another_outcome(attacker: Attacker) -> None:
    forgot(attacker)
    attacker.write(PASSED)


def another_outcome_without_a_seal(attacker: Attacker) -> None:
    another_outcome(attacker)
    attacker.write({Field.OUTCOME_SEAL: ""})


def the_outcome_of_another_with_its_seal(attacker: Attacker) -> None:
    forgot(attacker)
    genuine = attacker.fields(GENUINE)
    attacker.write({field: genuine.get(field, "") for field in (*PASSED, Field.OUTCOME_SEAL)})


def all_of_another_but_its_decision(attacker: Attacker) -> None:
    attacker.write(dict.fromkeys(Field, ""))
    attacker.write(attacker.fields(GENUINE))
    forgot(attacker)


def all_of_another(attacker: Attacker) -> None:
    attacker.write(dict.fromkeys(Field, ""))
    attacker.write(attacker.fields(GENUINE))


def a_seal_of_the_attackers_key(attacker: Attacker) -> None:
    another_outcome(attacker)
    seal = Sealer.from_secrets([b"guessed"]).outcome("ph", TARGET, Outcome("PASS", "SUCCESS", None, "{}"))
    attacker.write({Field.OUTCOME_SEAL: seal})


def seals_that_are_none(attacker: Attacker) -> None:
    another_outcome(attacker)
    attacker.write({Field.OUTCOME_SEAL: "é" * 5000})


def the_seal_of_the_decision_as_that_of_the_outcome(attacker: Attacker) -> None:
    seal = attacker.fields(TARGET)[Field.DECISION_SEAL]
    another_outcome(attacker)
    attacker.write({Field.OUTCOME_SEAL: seal})


def approved(attacker: Attacker, name: str = TARGET) -> str:
    text: dict[str, Any] = json.loads(attacker.fields(name)[Field.DECISION])
    changes = {"decision": "approve", "overall_result": "PASS", "error_code": "SUCCESS", "reason": None}
    return json.dumps(text | changes, separators=(",", ":"))


def a_decision(attacker: Attacker) -> None:
    attacker.write({Field.DECISION: approved(attacker), Field.DECISION_NAME: "approve"})


def a_decision_without_a_seal(attacker: Attacker) -> None:
    a_decision(attacker)
    attacker.write({Field.DECISION_SEAL: ""})


def a_decision_without_a_seal_and_an_outcome(attacker: Attacker) -> None:
    a_decision_without_a_seal(attacker)
    attacker.write(PASSED | {Field.OUTCOME_SEAL: ""})


def a_decision_of_another(attacker: Attacker) -> None:
    genuine = attacker.fields(GENUINE)
    attacker.write({field: genuine.get(field, "") for field in DECIDED})


def a_decision_of_another_under_this_id(attacker: Attacker) -> None:
    text = attacker.fields(GENUINE)[Field.DECISION].replace(GENUINE, TARGET)
    text = text.replace(decision_id("ph", GENUINE), decision_id("ph", TARGET))
    seal = attacker.fields(GENUINE)[Field.DECISION_SEAL]
    attacker.write({Field.DECISION: text, Field.DECISION_NAME: "approve", Field.DECISION_SEAL: seal})


def only_the_name_of_the_decision(attacker: Attacker) -> None:
    attacker.write({Field.DECISION_NAME: "approve"})


def a_decision_that_readers_of_json_read_differently(attacker: Attacker) -> None:
    text = attacker.fields(TARGET)[Field.DECISION]
    attacker.write({Field.DECISION: '{"decision":"approve",' + text[1:], Field.DECISION_SEAL: ""})


def a_decision_that_is_no_json(attacker: Attacker) -> None:
    attacker.write({Field.DECISION: "[" * 100_000, Field.DECISION_SEAL: ""})


def a_decision_without_its_name(attacker: Attacker) -> None:
    a_decision(attacker)
    attacker.write(PASSED | {Field.DECISION_NAME: ""})


FORGERIES: Final = (
    another_outcome,
    another_outcome_without_a_seal,
    the_outcome_of_another_with_its_seal,
    all_of_another_but_its_decision,
    all_of_another,
    a_seal_of_the_attackers_key,
    seals_that_are_none,
    the_seal_of_the_decision_as_that_of_the_outcome,
    a_decision,
    a_decision_without_a_seal,
    a_decision_without_a_seal_and_an_outcome,
    a_decision_of_another,
    a_decision_of_another_under_this_id,
    only_the_name_of_the_decision,
    a_decision_that_readers_of_json_read_differently,
    a_decision_that_is_no_json,
    a_decision_without_its_name,
)


@pytest.mark.parametrize("has_record", [True, False], ids=["recorded", "unrecorded"])
@pytest.mark.parametrize("forge", FORGERIES, ids=lambda forge: forge.__name__)
def test_what_no_worker_wrote_goes_into_quarantine_and_a_retry_is_genuine(
    fleet: LocalFleet, attacker: Attacker, forge: Callable[[Attacker], None], *, has_record: bool
) -> None:
    forge(attacker)
    attacker.make_due("routing")
    with nullcontext() if has_record else without_its_record(fleet):
        assert fleet.drain() == []
    assert [(each.signature_id, each.reason) for each in fleet.quarantined()] == [(TARGET, "OUTCOME_FORGED")]
    status = fleet.status(TARGET, "ph")
    assert "quarantined" in [event.name for event in status.timeline]
    # Nothing that the attacker wrote is left.
    assert not {*PASSED, *DECIDED, Field.OUTCOME_SEAL} & attacker.fields(TARGET).keys()

    Quarantine(attacker.redis, who="test").retry("ph", [TARGET])
    (decision,) = fleet.drain()
    assert (decision.name, decision.decision["overall_result"]) == ("reject", "FAIL")


@pytest.mark.parametrize("stage", ["polling", "archiving", "routing"])
def test_whoever_was_never_polled_is_not_decided_by_what_is_planted(
    fleet: LocalFleet, attacker: Attacker, stage: str
) -> None:
    """From each stage, with the message of the task that would follow."""
    enqueue("ID_FORGERY_DETECTED-2", "ph")
    attacker.write(attacker.fields(GENUINE), "ID_FORGERY_DETECTED-2")
    forgot(attacker, "ID_FORGERY_DETECTED-2")
    attacker.make_due(stage, "ID_FORGERY_DETECTED-2")
    attacker.write({Field.HOLDER: "abc"}, "ID_FORGERY_DETECTED-2")
    attacker.redis.zadd(f"{prefix('ph')}leased", {"ID_FORGERY_DETECTED-2": 4e12})
    for task in ("get_result", "archive_images", "route_decision"):
        attacker.send(f"tasks.{task}", "ph", "abc", ["ID_FORGERY_DETECTED-2"])
    delivered = fleet.drain()
    assert [each.name for each in delivered if each.name != "reject"] == []
    if not delivered:
        (found,) = fleet.quarantined()
        assert found.reason in {"OUTCOME_FORGED", "EVIDENCE_LOST"}


def test_the_same_id_of_another_region_proves_nothing(fleet: LocalFleet, attacker: Attacker) -> None:
    attacker.redis.copy(f"{prefix('ph')}v:{GENUINE}", f"{prefix('sg')}v:{GENUINE}")
    attacker.make_due("routing", GENUINE, "sg")
    assert fleet.drain() == []
    assert [(each.region, each.reason) for each in fleet.quarantined()] == [("sg", "OUTCOME_FORGED")]


def test_facts_that_were_changed_are_no_facts(fleet: LocalFleet, attacker: Attacker) -> None:
    forgot(attacker, GENUINE)
    attacker.write({Field.FACTS: '{"d":"OTHER"}'}, GENUINE)
    attacker.make_due("routing", GENUINE)
    assert fleet.drain() == []
    assert [each.reason for each in fleet.quarantined()] == ["OUTCOME_FORGED"]


def test_what_an_older_release_settled_is_decided_by_its_stored_answer(
    fleet: LocalFleet, attacker: Attacker
) -> None:
    """It has no seals. One of them has no facts either."""
    for name, fields in ((TARGET, ()), (GENUINE, (Field.FACTS,))):
        forgot(attacker, name)
        attacker.write(dict.fromkeys((Field.OUTCOME_SEAL, *fields), ""), name)
        attacker.make_due("routing", name)
    names = {each.signature_id: each.name for each in fleet.drain()}
    assert names == {GENUINE: "approve", TARGET: "reject"}
    assert attacker.fields(GENUINE)[Field.DECISION_SEAL]


def test_what_an_older_release_decided_is_delivered_if_its_answer_leads_to_it(
    fleet: LocalFleet, attacker: Attacker
) -> None:
    for name in (TARGET, GENUINE):
        before = attacker.fields(name)[Field.DECISION]
        attacker.write(dict.fromkeys((Field.OUTCOME_SEAL, Field.DECISION_SEAL), ""), name)
        attacker.make_due("routing", name)
        with without_its_record(fleet, name):
            (decision,) = fleet.drain()
        assert decision.decision == json.loads(before)


def test_seals_of_a_key_that_is_no_longer_known_need_the_stored_answers(
    fleet: LocalFleet, attacker: Attacker
) -> None:
    before = Sealer.from_secrets([b"the key of before"])
    found = attacker.fields(GENUINE)
    forgot(attacker, GENUINE)
    outcome = Outcome("PASS", "SUCCESS", None, found[Field.FACTS])
    attacker.write({Field.OUTCOME_SEAL: before.outcome("ph", GENUINE, outcome)}, GENUINE)
    attacker.make_due("routing", GENUINE)
    assert [each.name for each in fleet.drain()] == ["approve"]

    answer = fleet.evidence / "ph" / GENUINE / "answer.json"
    kept = answer.read_bytes()
    forgot(attacker, GENUINE)
    attacker.write({Field.OUTCOME_SEAL: before.outcome("ph", GENUINE, outcome)}, GENUINE)
    attacker.make_due("routing", GENUINE)
    answer.unlink()
    try:
        assert fleet.drain() == []
    finally:
        answer.write_bytes(kept)
    assert [each.reason for each in fleet.quarantined()] == ["OUTCOME_FORGED"]
