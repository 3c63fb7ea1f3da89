"""A sweep ends erasures that have begun and not ended, and no others: a tombstone that a stranger wrote is none."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.drive_ledger import decide
from tests.support.logged_evidence import REGION, LoggedEvidence
from worker.evidence.keys import Tombstone, dump_key
from worker.evidence.log.audit import Kind
from worker.evidence.marks import Act, ErasurePlan
from worker.ledger import Ledger
from worker.ledger.audit import AuditLog, Wanted
from worker.ledger.erasures import Erasures
from worker.ledger.models import Stage
from worker.policy.retention import parse
from worker.records.erasure import AlreadyErased, Eraser, Order
from worker.records.retention import UNENDED, Survey, Swept, survey, sweep

if TYPE_CHECKING:
    from pathlib import Path

    from redis import Redis

ID: Final = "a"
RULES: Final = parse("*=5y")
STRANGER: Final = Tombstone("2020-01-01T00:00:00Z", None)


LATER: Final = datetime(2040, 1, 1, tzinfo=UTC)

#: A time that no sweep sees: a file of a stranger can name it.
NEVER: Final = datetime(9999, 1, 1, tzinfo=UTC)


class Later(Erasures):
    """A ledger whose clock is that of a sweep years later."""

    def clock(self) -> datetime:
        return LATER


class Killed(BaseException):
    """Ends an erasure after a step, as a kill does."""


@pytest.fixture
def world(redis: Redis, tmp_path: Path) -> LoggedEvidence:
    """One verification of today, which no sweep erases because of its age."""
    world = LoggedEvidence(redis, (tmp_path / "evidence").as_uri())
    decide(Ledger(redis), ID)
    world.end(ID)
    world.sequencer().turn()
    return world


def eraser(world: LoggedEvidence) -> Eraser:
    return Eraser(
        world.evidence,
        Erasures(world.redis),
        None,
        lambda region, text: world.log.keys.signer(region).sign(text),
        lambda region, signature_id: world.queue.add(region, [signature_id]),
    )


def surveyed(world: LoggedEvidence) -> Survey:
    return survey(world.evidence, RULES, [REGION], datetime.now(UTC))


def swept(world: LoggedEvidence) -> Swept:
    (done,) = sweep(eraser(world), RULES, surveyed(world).over, who="ben")
    return done


def die_after(world: LoggedEvidence, last: str) -> None:
    """Begin an erasure by request, and end it after a step."""

    def reached(step: str) -> None:
        if step == last:
            raise Killed

    asked = Order(REGION, ID, Act(datetime.now(UTC), "maria", "asked by the person"))
    with pytest.raises(Killed):
        eraser(world).erase(asked, reached=reached)


def begun(world: LoggedEvidence) -> tuple[tuple[str, ...], int]:
    found = Erasures(world.redis).begun(REGION)
    return found.ids, found.count


@pytest.mark.parametrize("last", ["plan", "entomb", "delete", "vendor", "certify", "seal", "queue"])
def test_a_sweep_ends_an_erasure_that_was_killed_after_any_step(world: LoggedEvidence, last: str) -> None:
    die_after(world, last)
    assert begun(world) == ((ID,), 1)
    assert [(each.signature_id, each.decision) for each in surveyed(world).over] == [(ID, UNENDED)]
    done = swept(world)
    assert (done.erased, done.refused) == (1, [])
    assert next(AuditLog(world.redis).entries(Wanted(act="evidence_erase", subject=ID))).who == "ben"
    assert surveyed(world) == Survey()
    assert begun(world) == ((), 0)
    world.sequencer().turn()
    assert world.audit().findings == []


def test_a_sweep_signs_for_no_tombstone_of_a_stranger(world: LoggedEvidence) -> None:
    """Who can write the store can destroy evidence; the log must still find that after a sweep."""
    folder = world.root / REGION / ID
    (folder / "answer.json").unlink()
    (folder / "key.json").write_bytes(dump_key(STRANGER))
    plan = ErasurePlan(Act(datetime.now(UTC), "director", "asked by the person"), None, ())
    for planted in (None, plan):
        if planted:
            world.evidence.lifecycle(REGION, ID).keep_plan(planted)
        done = swept(world)
        assert done.erased == 0
        assert "ph/a has a tombstone, and no plan that our key has signed" in done.refused[0]
        assert not (folder / "certificate.txt").exists()
    status = Ledger(world.redis).status(REGION, ID)
    assert status is not None
    assert status.verification.stage is Stage.DONE
    assert list(AuditLog(world.redis).entries()) == []
    assert [(each.kind, each.signature_id) for each in world.audit().findings] == [(Kind.CHANGED, ID)]


def test_a_plan_that_a_stranger_put_beside_an_ended_erasure_is_removed(world: LoggedEvidence) -> None:
    eraser(world).erase(Order(REGION, ID, Act(datetime.now(UTC), "maria", "asked by the person")))
    plan = ErasurePlan(Act(datetime.now(UTC), "director", "asked by the person"), None, ())
    world.evidence.lifecycle(REGION, ID).keep_plan(plan)
    done = swept(world)
    assert (done.erased, done.refused) == (0, [])
    assert surveyed(world) == Survey()


def test_an_erasure_that_was_killed_before_its_plan_is_shown_and_not_continued(world: LoggedEvidence) -> None:
    """Only the ledger knows of it, which proves nothing: a program that writes to Redis could have evidence erased."""
    die_after(world, "mark")
    assert surveyed(world).over == []
    assert list(sweep(eraser(world), RULES, surveyed(world).over, who="ben")) == []
    assert begun(world) == ((ID,), 1)
    assert world.evidence.of(REGION, ID).answer() is not None
    eraser(world).erase(Order(REGION, ID, Act(datetime.now(UTC), "ben", "asked by the person")))
    assert begun(world) == ((), 0)


def test_a_plan_of_a_stranger_erases_nothing(world: LoggedEvidence) -> None:
    plan = ErasurePlan(Act(datetime.now(UTC), "director", "asked by the person"), None, ())
    world.evidence.lifecycle(REGION, ID).keep_plan(plan)
    done = swept(world)
    assert done.erased == 0
    assert "ph/a has a plan of an erasure that our key has not signed" in done.refused[0]
    assert world.evidence.of(REGION, ID).answer() is not None
    status = Ledger(world.redis).status(REGION, ID)
    assert status is not None
    assert status.verification.stage is Stage.DONE
    assert list(AuditLog(world.redis).entries()) == []
    assert world.audit().findings == []


@pytest.mark.parametrize("at", [datetime(2026, 1, 1, tzinfo=UTC), NEVER])
def test_a_plan_of_a_stranger_keeps_nothing_that_is_over_age(world: LoggedEvidence, at: datetime) -> None:
    plan = ErasurePlan(Act(at, "director", "asked by the person"), None, ())
    world.evidence.lifecycle(REGION, ID).keep_plan(plan)
    rules = parse("*=1y@decided")
    then = replace(eraser(world), ledger=Later(world.redis), now=lambda: LATER)
    (done,) = sweep(then, rules, survey(world.evidence, rules, [REGION], LATER).over, who="ben")
    assert (done.erased, done.refused) == (1, [])
    assert "director" not in (world.root / REGION / ID / "certificate.txt").read_text()


def test_what_a_stranger_has_begun_in_the_future_is_named(world: LoggedEvidence) -> None:
    lifecycle, folder = world.evidence.lifecycle(REGION, ID), world.root / REGION / ID
    lifecycle.keep_plan(ErasurePlan(Act(NEVER, "director", "asked by the person"), None, ()))
    assert "ph/a has a plan of an erasure that our key has not signed" in swept(world).refused[0]
    (folder / "key.json").write_bytes(dump_key(Tombstone("9999-01-01T00:00:00Z", None)))
    assert "ph/a has a tombstone, and no plan that our key has signed" in swept(world).refused[0]


def test_a_legal_hold_stops_what_a_killed_erasure_has_planned(world: LoggedEvidence) -> None:
    """A hold comes after the plan only if Redis has lost the mark; it counts then, too."""
    die_after(world, "plan")
    world.redis.flushdb()
    world.evidence.lifecycle(REGION, ID).change_holds(
        lambda known: known.placing(Act(datetime.now(UTC), "judge", "case 7"))
    )
    found = surveyed(world)
    assert (found.over, found.held) == ([], 1)


def test_what_is_no_id_is_counted_and_not_named(world: LoggedEvidence) -> None:
    """A program that writes to Redis must not have a person type a command."""
    world.redis.zadd(f"ekyc:{{{REGION}}}:erasing", {"a; rm -rf x": 1, ID: 2})
    assert begun(world) == ((ID,), 2)


def test_an_erasure_that_has_ended_is_no_longer_named_once_it_is_repeated(world: LoggedEvidence) -> None:
    """As after a Redis that came back from a backup of the moment before the end."""
    eraser(world).erase(Order(REGION, ID, Act(datetime.now(UTC), "maria", "asked by the person")))
    Erasures(world.redis).mark(REGION, ID, decision_id="d", stored=True, who="maria", why="asked")
    assert begun(world) == ((ID,), 1)
    with pytest.raises(AlreadyErased):
        eraser(world).erase(Order(REGION, ID, Act(datetime.now(UTC), "ben", "asked by the person")))
    assert begun(world) == ((), 0)
