"""Reviews are in no log of evidence: the audit log shows one that was removed or changed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.logged_evidence import PRIVATE, REGION, LoggedEvidence
from worker.evidence.log.audit import Audit, Kind
from worker.ledger import reviews
from worker.ledger.evidence_log import LogLedger
from worker.ledger.reviews import ReviewLedger
from worker.records.reviews import ReviewDesk, new_review

if TYPE_CHECKING:
    from pathlib import Path

    from redis import Redis

    from tests.support.cli_process import Ekyc

#: The id of the verification that is reviewed.
ID: Final = "reviewed"


@pytest.fixture
def world(redis: Redis, tmp_path: Path) -> LoggedEvidence:
    """Two verifications in the log; one has two reviews."""
    world = LoggedEvidence(redis, (tmp_path / "evidence").as_uri())
    world.end(ID, "other")
    world.sequencer().turn()
    desk = ReviewDesk(ReviewLedger(redis, via="console"), lambda _: ())
    for form, verdict in (("1", "confirmed"), ("2", "false_alarm")):
        desk.take(
            world.evidence.of(REGION, ID), new_review(form, REGION, ID, who="ann", verdict=verdict, note="")
        )
    return world


def file(world: LoggedEvidence, number: int) -> Path:
    return world.root / REGION / ID / f"review-00{number}.json"


def findings(world: LoggedEvidence, redis: Redis) -> list[tuple[Kind, str, str]]:
    audit = Audit(
        world.evidence, world.log, LogLedger(redis, REGION), reviews=reviews.recorded(redis, REGION)
    )
    return [(each.kind, each.path, each.said) for each in audit.whole().findings]


def test_the_audit_log_has_number_and_verdict_of_each(world: LoggedEvidence, redis: Redis) -> None:
    assert reviews.recorded(redis, REGION) == {ID: {1: "confirmed", 2: "false_alarm"}}
    assert reviews.recorded(redis, "sg") == {}
    redis.xadd("ekyc:{ph}:audit:evidence", {"act": "verdict", "subject": "x", "detail": "anything"})
    assert reviews.recorded(redis, REGION).keys() == {ID}
    assert findings(world, redis) == []


def test_a_removed_last_review_is_found(world: LoggedEvidence, redis: Redis) -> None:
    file(world, 2).unlink()
    missing = (Kind.MISSING, f"ph/{ID}/review-002.json", "is in the audit log, and is missing")
    assert findings(world, redis) == [missing]
    file(world, 1).unlink()
    assert len(findings(world, redis)) == 2
    # What nothing has recorded any more does not show.
    redis.delete("ekyc:{ph}:audit:evidence")
    assert findings(world, redis) == []


def test_a_removed_one_before_others_is_one_finding(world: LoggedEvidence, redis: Redis) -> None:
    file(world, 1).unlink()
    assert findings(world, redis) == [(Kind.MISSING, f"ph/{ID}/review-001.json", "is missing")]


def test_a_changed_verdict_is_found(world: LoggedEvidence, redis: Redis) -> None:
    raw = file(world, 2).read_text()
    file(world, 2).write_text(raw.replace("false_alarm", "confirmed"))
    changed = (Kind.CHANGED, f"ph/{ID}/review-002.json", "has another verdict than the audit log")
    assert findings(world, redis) == [changed]


def test_what_is_erased_needs_no_review(world: LoggedEvidence, redis: Redis) -> None:
    world.erase(ID)
    world.queue.add(REGION, [ID])
    world.sequencer().turn()
    assert findings(world, redis) == []


def test_the_command_compares_both_unless_it_is_offline(world: LoggedEvidence, ekyc: Ekyc) -> None:
    file(world, 2).unlink()
    command = ekyc.with_env(EKYC_EVIDENCE_URL=world.url, EKYC_LOG_KEY=PRIVATE, ADVANCE_REGIONS=REGION)
    ended = command("evidence", "verify", "--json", ID)
    (found,) = json.loads(ended.out)["findings"]
    assert (ended.code, found["kind"], found["path"]) == (1, "missing", f"ph/{ID}/review-002.json")
    assert command("evidence", "verify", "--offline", ID).code == 0
