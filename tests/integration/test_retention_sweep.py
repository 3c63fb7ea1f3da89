"""Until when evidence is kept, closing times on their way to the store, and the sweep of what is over age."""

from __future__ import annotations

import json
import os
from base64 import b64encode
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from schemas.decision import load_decision
from tests.support.drive_ledger import decide, decision_text
from worker.errors import EvidenceKeyUnknown, EvidenceUnavailable, InvalidInput
from worker.evidence.decision_record import DecisionRecord, dump_record
from worker.evidence.log.notes import new_signer
from worker.evidence.manifest import Manifest
from worker.evidence.marks import Act, ErasurePlan
from worker.evidence.rotation import Rotated, rotate
from worker.evidence.sealing import Origin
from worker.evidence.storage.local import LocalFolder
from worker.evidence.store import Evidence
from worker.ledger import Ledger, Quarantine
from worker.ledger.audit import AuditLog
from worker.ledger.erasures import CLOSINGS_AT_ONCE, Closing, Erasures
from worker.policy.retention import parse
from worker.records import closings, retention
from worker.records.erasure import Eraser, NotErased, Order, Vendor
from worker.records.retention import BEFORE, UNENDED, Kept, Survey, kept, survey, sweep
from worker.runtime.closings import ClosingsThread

if TYPE_CHECKING:
    from pathlib import Path

    from redis import Redis

KEYS = f"now:{b64encode(b'k' * 32).decode()}"
OTHER = f"other:{b64encode(b'o' * 32).decode()}"
SIGNER = new_signer("kyc.example.com/ph")
NOW = datetime(2040, 1, 1, tzinfo=UTC)
RULES = parse("*=5y,*/reject=2y")


@pytest.fixture(params=["encrypted", "plain"])
def evidence(request: pytest.FixtureRequest, tmp_path: Path) -> Evidence:
    return Evidence((tmp_path / "evidence").as_uri(), keys=KEYS if request.param == "encrypted" else "")


def keep(evidence: Evidence, signature_id: str, name: str = "reject", *, years_ago: int = 3) -> None:
    one = evidence.of("ph", signature_id)
    one.keep_answer(b"{}")
    decision = load_decision(json.loads(decision_text(signature_id, name=name)))
    at = NOW.replace(year=NOW.year - years_ago)
    one.keep_decision(DecisionRecord.of(replace(decision, decided_at=at)))


class OfThen(Erasures):
    """A ledger whose clock is that of the tests."""

    def clock(self) -> datetime:
        return NOW


def eraser(evidence: Evidence, redis: Redis) -> Eraser:
    return Eraser(evidence, OfThen(redis), None, lambda _, text: SIGNER.sign(text), now=lambda: NOW)


def over(evidence: Evidence) -> list[str]:
    return sorted(each.signature_id for each in survey(evidence, RULES, ["ph"], NOW).over)


def swept(evidence: Evidence, redis: Redis, **more: Any) -> retention.Swept:
    found = survey(evidence, RULES, ["ph"], NOW)
    last = retention.Swept()
    for last in sweep(eraser(evidence, redis), RULES, found.over, who="maria", **more):  # noqa: B007
        pass
    return last


def test_a_decision_starts_the_clock_or_the_end_of_the_relationship(evidence: Evidence) -> None:
    keep(evidence, "rejected", "reject", years_ago=3)
    keep(evidence, "approved", "approve", years_ago=9)
    one = kept(evidence, RULES, "ph", "rejected")
    assert one
    assert (one.decision, str(one.rule), one.until) == (
        "reject",
        "2y@decided",
        datetime(2039, 1, 1, tzinfo=UTC),
    )
    assert one.is_over(NOW)
    one = kept(evidence, RULES, "ph", "approved")
    assert one
    assert (one.until, one.is_over(NOW)) == (None, False)
    closings.close(evidence, "ph", "approved", datetime(2034, 6, 1, tzinfo=UTC))
    one = kept(evidence, RULES, "ph", "approved")
    assert one
    assert (one.until, one.is_over(NOW)) == (datetime(2039, 6, 1, tzinfo=UTC), True)
    # A later closing delays it, an earlier one changes nothing.
    closings.close(evidence, "ph", "approved", datetime(2036, 6, 1, tzinfo=UTC))
    assert closings.close(evidence, "ph", "approved", datetime(2031, 1, 1, tzinfo=UTC)).year == 2036
    assert over(evidence) == ["rejected"]


def test_what_was_never_decided_counts_from_its_newest_file(evidence: Evidence) -> None:
    evidence.of("ph", "undecided").keep_unreadable(b"?")
    one = kept(evidence, RULES, "ph", "undecided")
    assert one
    assert (one.decision, str(one.rule)) == ("", "5y@decided")
    assert one.until
    assert timedelta(days=5 * 365) < one.until - datetime.now(UTC) < timedelta(days=5 * 366)


def undecided(tmp_path: Path, evidence: Evidence) -> Path:
    """Store what was never decided, six years ago, and return its folder."""
    evidence.of("ph", "undecided").keep_unreadable(b"?")
    folder = tmp_path / "evidence/ph/undecided"
    long_ago = datetime.now(UTC) - timedelta(days=6 * 366)
    for file in folder.iterdir():
        os.utime(file, (long_ago.timestamp(), long_ago.timestamp()))
    return folder


def is_over_today(evidence: Evidence) -> bool:
    one = kept(evidence, RULES, "ph", "undecided")
    return one is not None and one.is_over(datetime.now(UTC))


def test_marks_do_not_renew_the_age_of_what_was_never_decided(evidence: Evidence, tmp_path: Path) -> None:
    undecided(tmp_path, evidence)
    lifecycle, act = evidence.lifecycle("ph", "undecided"), Act(datetime.now(UTC), "judge", "case")
    assert is_over_today(evidence)
    lifecycle.change_holds(lambda known: known.placing(act))
    lifecycle.change_holds(lambda known: known.releasing(act))
    assert is_over_today(evidence)
    closings.close(evidence, "ph", "undecided", datetime(2020, 1, 1, tzinfo=UTC))
    assert is_over_today(evidence)
    lifecycle.keep_plan(ErasurePlan(act, None, ()))
    assert is_over_today(evidence)


def test_rotations_do_not_renew_the_age_of_what_was_never_decided(evidence: Evidence, tmp_path: Path) -> None:
    """Neither the first one, which encrypts plain evidence, nor each further one, which replaces its key."""
    undecided(tmp_path, evidence)
    rotated = []
    for keys in (f"{OTHER},{KEYS}", f"{KEYS},{OTHER}"):
        under = Evidence(evidence.url, keys=keys)
        rotated.append(rotate(under.of("ph", "undecided")))
        assert is_over_today(under)
    assert rotated[0] is not Rotated.CURRENT
    assert rotated[1] is Rotated.REWRAPPED


def test_encryption_by_a_worker_does_not_renew_the_age_of_plain_evidence(tmp_path: Path) -> None:
    url = (tmp_path / "evidence").as_uri()
    folder = undecided(tmp_path, Evidence(url))
    one = Evidence(url, keys=KEYS)
    one.of("ph", "undecided").encrypt_plain()
    assert all(file.read_bytes() != b"?" for file in folder.iterdir())
    assert is_over_today(one)


def test_evidence_from_before_decisions_were_stored_is_kept_as_if_approved(evidence: Evidence) -> None:
    one = evidence.of("ph", "before")
    one.keep_answer(b"{}")
    one.keep_manifest(
        Manifest("before", "ph", "FAIL", "X", None, "2026-11-30T12:00:00.000Z", complete=True, files=())
    )
    found = kept(evidence, RULES, "ph", "before")
    assert found
    assert (found.decision, found.until, found.decided_at.year) == (BEFORE, None, 2026)


def test_a_survey_counts_by_region_and_decision_and_changes_nothing(evidence: Evidence) -> None:
    for number in range(3):
        keep(evidence, f"r{number}", "reject", years_ago=3 + number)
    keep(evidence, "young", "reject", years_ago=1)
    keep(evidence, "held", "reject", years_ago=4)
    evidence.lifecycle("ph", "held").change_holds(lambda known: known.placing(Act(NOW, "judge", "case")))
    keep(evidence, "broken", "reject", years_ago=4)
    evidence._backend.create("ph/broken/hold.json", b"?")
    seen: list[int] = []
    found = survey(evidence, RULES, ["ph", "sg"], NOW, seen.append)
    assert found.counts() == {("ph", "reject"): (3, datetime(2035, 1, 1, tzinfo=UTC))}
    assert (found.seen, found.held, found.unreadable) == (6, 1, ["ph/broken: MARK_UNREADABLE"])
    assert seen == [6]
    assert survey(evidence, RULES, ["ph"], NOW).counts() == found.counts()


@pytest.mark.parametrize(
    ("closed", "unreadable"),
    [
        ("9998-12-31T00:00:00Z", []),
        ("9999-12-31T23:59:59.999Z", []),
        ("9999-12-31T23:59:59-05:00", ["ph/a: MARK_UNREADABLE"]),
        ("0001-01-01T00:00:00+05:00", ["ph/a: MARK_UNREADABLE"]),
    ],
)
def test_a_closing_time_at_the_end_of_the_calendar_stops_no_survey(
    evidence: Evidence, closed: str, unreadable: list[str]
) -> None:
    keep(evidence, "a", "approve")
    keep(evidence, "b", "reject")
    evidence._backend.create("ph/a/closed.json", json.dumps({"version": 1, "at": closed}).encode())
    found = survey(evidence, RULES, ["ph"], NOW)
    assert (found.seen, found.unreadable) == (2, unreadable)
    assert [each.signature_id for each in found.over] == ["b"]


@pytest.mark.parametrize("archived_at", ["9999-12-31T23:59:59-05:00", "yesterday"])
def test_a_manifest_whose_time_cannot_be_read_stops_no_survey(evidence: Evidence, archived_at: str) -> None:
    one = evidence.of("ph", "a")
    one.keep_answer(b"{}")
    one.keep_manifest(Manifest("a", "ph", "FAIL", "X", None, archived_at, complete=True, files=()))
    assert survey(evidence, RULES, ["ph"], NOW).unreadable == ["ph/a: MANIFEST_UNREADABLE"]


def test_a_decision_whose_time_overflows_stops_no_survey(evidence: Evidence) -> None:
    one = evidence.of("ph", "a")
    record = json.loads(dump_record(DecisionRecord.of(load_decision(json.loads(decision_text("a"))))))
    record["decision"]["decided_at"] = "9999-12-31T23:59:59-05:00"
    one.keep("decision.json", json.dumps(record).encode())
    keep(evidence, "b", "reject")
    found = survey(evidence, RULES, ["ph"], NOW)
    assert (found.seen, found.unreadable) == (2, ["ph/a: DECISION_UNREADABLE"])


def test_a_sweep_erases_what_is_over_age_and_nothing_else(evidence: Evidence, redis: Redis) -> None:
    for number in range(5):
        keep(evidence, f"r{number}", "reject")
    keep(evidence, "young", "reject", years_ago=1)
    keep(evidence, "approved", "approve", years_ago=30)
    decide(Ledger(redis), "r0", name="reject")
    done = swept(evidence, redis)
    assert (done.erased, done.refused) == (5, [])
    assert over(evidence) == []
    assert evidence.of("ph", "young").answer() == b"{}"
    assert evidence.of("ph", "approved").answer() == b"{}"
    certificate = evidence.lifecycle("ph", "r0").certificate() or ""
    assert '"why": "retention: reject is kept for 2y@decided"' in certificate
    acts = [(act.name, act.detail, act.worker) for act in Quarantine(redis, who="x").acts("ph")]
    assert acts[-1] == ("retention", "erased 5 over age", "maria")
    assert swept(evidence, redis).erased == 0


def test_a_hold_or_a_closing_that_comes_after_the_survey_is_obeyed(evidence: Evidence, redis: Redis) -> None:
    for name in ("held", "closed", "gone"):
        keep(evidence, name, "reject")
    found = survey(evidence, RULES, ["ph"], NOW)
    assert len(found.over) == 3
    evidence.lifecycle("ph", "held").change_holds(lambda known: known.placing(Act(NOW, "judge", "case")))
    closings.close(evidence, "ph", "closed", NOW - timedelta(days=1))
    (done,) = sweep(eraser(evidence, redis), RULES, found.over, who="maria")
    assert done.erased == 1
    assert len(done.refused) == 2
    assert evidence.of("ph", "held").answer() == evidence.of("ph", "closed").answer() == b"{}"


@pytest.mark.parametrize("ahead_s", [-90, -30, 30, 90])
def test_a_sweep_by_a_wrong_clock_is_refused(evidence: Evidence, redis: Redis, ahead_s: int) -> None:
    keep(evidence, "a", "reject", years_ago=NOW.year - 2020)
    parts = replace(
        eraser(evidence, redis),
        ledger=Erasures(redis),
        now=lambda: datetime.now(UTC) + timedelta(seconds=ahead_s),
    )
    found = survey(evidence, RULES, ["ph"], parts.now())
    if abs(ahead_s) < 60:
        assert next(sweep(parts, RULES, found.over, who="maria")).erased == 1
        return
    with pytest.raises(NotErased, match=r"the clocks of this machine and of Redis differ by (8|9)\d s"):
        next(sweep(parts, RULES, found.over, who="maria"))
    assert evidence.of("ph", "a").answer() == b"{}"


@pytest.mark.parametrize("step", ["waits", "stored after it was judged"])
def test_a_sweep_leaves_one_whose_new_closing_time_it_may_not_have_seen(
    evidence: Evidence, redis: Redis, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    keep(evidence, "a", "reject")
    ledger = Erasures(redis)
    found = survey(evidence, RULES, ["ph"], NOW)
    judge = retention.kept

    def judged(*given: Any) -> retention.Kept | None:
        answer = judge(*given)
        ledger.close("ph", "a")
        if step != "waits":
            assert closings.store(evidence, ledger, "ph") == 1
        return answer

    monkeypatch.setattr(retention, "kept", judged)
    (done,) = sweep(eraser(evidence, redis), RULES, found.over, who="maria")
    assert (done.erased, len(done.refused)) == (0, 1)
    assert "ph/a has a new closing time" in done.refused[0]
    assert evidence.of("ph", "a").answer() == b"{}"


def test_a_sweep_that_was_stopped_is_continued_by_the_next(
    evidence: Evidence, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "SLICE", 2)
    for number in range(7):
        keep(evidence, f"r{number}", "reject")

    class Stopped(BaseException):
        pass

    def stop(sofar: retention.Swept) -> None:
        if sofar.erased == 3:
            raise Stopped

    with pytest.raises(Stopped):
        swept(evidence, redis, advance=stop)
    left = over(evidence)
    assert 0 < len(left) <= 4
    assert swept(evidence, redis).erased == len(left)
    assert over(evidence) == []


def test_one_under_an_unknown_key_is_kept_and_stops_neither_survey_nor_sweep(
    tmp_path: Path, redis: Redis
) -> None:
    url = (tmp_path / "evidence").as_uri()
    keep(Evidence(url, keys=OTHER), "lost", "reject")
    evidence = Evidence(url, keys=KEYS)
    keep(evidence, "a", "reject")
    keep(evidence, "z", "reject")
    found = survey(evidence, RULES, ["ph"], NOW)
    assert (found.seen, found.unreadable) == (3, ["ph/lost: EVIDENCE_KEY_UNKNOWN"])
    assert [each.signature_id for each in found.over] == ["a", "z"]
    # The key of one may also go between survey and sweep.
    over_age = [replace(found.over[0], signature_id="lost"), *found.over]
    (done,) = sweep(eraser(evidence, redis), RULES, over_age, who="maria")
    assert (done.erased, len(done.refused)) == (2, 1)
    assert "ph/lost/key.json is wrapped under the key other" in done.refused[0]
    assert Evidence(url, keys=OTHER).of("ph", "lost").answer() == b"{}"


def test_a_survey_without_any_key_says_what_is_missing(tmp_path: Path) -> None:
    url = (tmp_path / "evidence").as_uri()
    keep(Evidence(url, keys=KEYS), "a", "reject")
    with pytest.raises(EvidenceKeyUnknown, match="EKYC_EVIDENCE_KEYS is not set here"):
        survey(Evidence(url), RULES, ["ph"], NOW)


@pytest.mark.parametrize("keys", [KEYS, OTHER, ""])
def test_what_is_held_by_a_mark_that_an_earlier_release_encrypted_is_not_erased(
    tmp_path: Path, redis: Redis, keys: str
) -> None:
    url = (tmp_path / "evidence").as_uri()
    evidence = Evidence(url, keys=KEYS)
    keep(evidence, "held", "reject", years_ago=4)
    evidence.lifecycle("ph", "held").change_holds(lambda known: known.placing(Act(NOW, "judge", "case")))
    one = evidence.of("ph", "held")
    data_key = one.keys.find(one.folder)
    assert data_key
    assert one.encrypt("hold.json", data_key, Origin.ROTATED)
    before = one.files()
    evidence = Evidence(url, keys=keys)
    with suppress(EvidenceKeyUnknown):
        assert over(evidence) == []
    held = Kept("ph", "held", "reject", NOW, None, held=False, rule=RULES.rule("ph", "reject"), until=NOW)
    with suppress(EvidenceKeyUnknown):
        (last,) = sweep(eraser(evidence, redis), RULES, [held], who="maria")
        assert (last.erased, len(last.refused)) == (0, 1)
    with pytest.raises((NotErased, EvidenceKeyUnknown)):
        eraser(evidence, redis).erase(Order("ph", "held", Act(NOW, "maria", "by request")))
    assert one.files() == before


# From `web` to the store


def test_a_worker_stores_what_web_noted_whatever_the_ledger_still_knows(
    evidence: Evidence, redis: Redis
) -> None:
    keep(evidence, "a")
    ledger = Erasures(redis)
    at_ms = round(datetime(2026, 11, 1, tzinfo=UTC).timestamp() * 1000)
    ledger.close("ph", "a", at_ms)
    ledger.close("ph", "nobody", at_ms)
    with capture_logs() as lines:
        assert closings.store(evidence, ledger, "ph") == 2
    assert evidence.lifecycle("ph", "a").closed() == datetime(2026, 11, 1, tzinfo=UTC)
    assert [(line["event"], line["signature_id"]) for line in lines] == [
        ("closing_stored", "a"),
        ("closing_ignored", "nobody"),
    ]
    assert not list(evidence._backend.list("ph/nobody"))
    assert closings.store(evidence, ledger, "ph") == 0


@pytest.mark.parametrize(
    ("member", "score"),
    [
        ("b", "inf"),
        ("b", "-inf"),
        ("b", 1e300),
        ("b", -1e300),
        ("b", 253402300800000),
        ("b", 0),
        ("b", 1.5),
        ("../b", 1),
        ("b" * 65, 1),
        (b"\xff", 1),
        ("", 1),
    ],
)
def test_a_closing_that_is_none_is_removed_and_stops_no_other(
    evidence: Evidence, redis: Redis, member: str, score: float
) -> None:
    keep(evidence, "a")
    keep(evidence, "b")
    ledger = Erasures(redis)
    ledger.close("ph", "a")
    redis.zadd("ekyc:{ph}:closings", {member: score})
    with capture_logs() as lines:
        assert closings.store(evidence, ledger, "ph") == 1
    assert [(line["event"], line.get("count")) for line in lines] == [
        ("closings_removed", 1),
        ("closing_stored", None),
    ]
    assert evidence.lifecycle("ph", "a").closed() is not None
    assert redis.exists("ekyc:{ph}:closings", "ekyc:{ph}:closings:turn") == 0
    # A page of nothing else ends the turn, too.
    redis.zadd("ekyc:{ph}:closings", {member: score})
    assert closings.store(evidence, ledger, "ph") == 0
    ledger.close("ph", "b")
    assert closings.store(evidence, ledger, "ph") == 1


@pytest.mark.parametrize("score", ["inf", 1e300])
def test_a_closing_that_is_none_does_not_replace_a_real_one(
    evidence: Evidence, redis: Redis, score: float
) -> None:
    keep(evidence, "a")
    redis.zadd("ekyc:{ph}:closings", {"a": score})
    ledger = Erasures(redis)
    assert ledger.close("ph", "a", 1_700_000_000_000) == 1_700_000_000_000
    assert closings.store(evidence, ledger, "ph") == 1
    assert evidence.lifecycle("ph", "a").closed() == datetime.fromtimestamp(1_700_000_000, UTC)


def test_the_latest_time_of_the_calendar_is_stored(evidence: Evidence, redis: Redis) -> None:
    keep(evidence, "a")
    redis.zadd("ekyc:{ph}:closings", {"a": 253402300799999})
    assert closings.store(evidence, Erasures(redis), "ph") == 1
    assert redis.exists("ekyc:{ph}:closings") == 0


def test_more_than_one_page_is_stored_in_one_look(evidence: Evidence, redis: Redis) -> None:
    ledger = Erasures(redis)
    for number in range(205):
        ledger.close("ph", f"a{number}")
    keep(evidence, "a204")
    assert closings.store(evidence, ledger, "ph") == 205
    assert evidence.lifecycle("ph", "a204").closed() is not None


class Away(LocalFolder):
    """A store that refuses closing times."""

    def create(self, path: str, body: bytes) -> bool:
        if path.endswith("closed.json"):
            raise EvidenceUnavailable("away")
        return super().create(path, body)


def test_a_store_that_is_away_loses_no_closing_time(evidence: Evidence, redis: Redis) -> None:
    keep(evidence, "a")
    ledger = Erasures(redis)
    ledger.close("ph", "a")
    backend: Any = evidence._backend
    backend.__class__ = Away
    with pytest.raises(EvidenceUnavailable):
        closings.store(evidence, ledger, "ph")
    backend.__class__ = LocalFolder
    assert closings.store(evidence, ledger, "ph") == 1
    assert evidence.lifecycle("ph", "a").closed() is not None


class Barred(LocalFolder):
    """A store that refuses the closing times of verifications whose id begins with `bad`."""

    def create(self, path: str, body: bytes) -> bool:
        if path.endswith("closed.json") and path.split("/")[1].startswith("bad"):
            raise EvidenceUnavailable("it is denied")
        return super().create(path, body)


def barred(evidence: Evidence) -> Any:
    backend: Any = evidence._backend
    backend.__class__ = Barred
    return backend


@pytest.mark.parametrize("count", [1, 2, CLOSINGS_AT_ONCE + 3])
def test_closings_that_cannot_be_stored_wait_and_hold_back_no_other(
    evidence: Evidence, redis: Redis, count: int
) -> None:
    ledger = Erasures(redis)
    bad = [f"bad{number}" for number in range(count)]
    for number, name in enumerate([*bad, "good"]):
        evidence.of("ph", name).keep_answer(b"{}")
        ledger.close("ph", name, 1_700_000_000_000 + number)
    backend = barred(evidence)
    with pytest.raises(EvidenceUnavailable, match="ph/bad0: it is denied"):
        closings.store(evidence, ledger, "ph")
    assert evidence.lifecycle("ph", "good").closed() is not None
    assert redis.zrange("ekyc:{ph}:closings", 0, -1) == [name.encode() for name in sorted(bad, key=bad.index)]
    assert redis.exists("ekyc:{ph}:closings:turn") == 0
    backend.__class__ = LocalFolder
    assert closings.store(evidence, ledger, "ph") == count


def test_a_worker_ends_its_turn_if_the_store_fails_slowly(
    evidence: Evidence, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Erasures(redis)
    for number in range(5):
        evidence.of("ph", f"bad{number}").keep_answer(b"{}")
        ledger.close("ph", f"bad{number}", 1_700_000_000_000 + number)
    barred(evidence)
    clock = iter(range(0, 10_000, 20))
    monkeypatch.setattr(closings, "monotonic", lambda: next(clock))
    tried: list[str] = []
    store_one = closings._store_one

    def counted(evidence: Evidence, region: str, closing: Closing) -> None:
        tried.append(closing.signature_id)
        store_one(evidence, region, closing)

    monkeypatch.setattr(closings, "_store_one", counted)
    with pytest.raises(EvidenceUnavailable):
        closings.store(evidence, ledger, "ph")
    assert tried == ["bad0", "bad1"]
    assert redis.zcard("ekyc:{ph}:closings") == 5
    assert redis.exists("ekyc:{ph}:closings:turn") == 0


def test_a_region_whose_closings_wait_is_logged_once_and_holds_back_no_other_region(
    evidence: Evidence, redis: Redis
) -> None:
    ledger = Erasures(redis)
    for region, name in (("ph", "bad0"), ("sg", "good")):
        evidence.of(region, name).keep_answer(b"{}")
        ledger.close(region, name, 1_700_000_000_000)
    backend, thread = barred(evidence), ClosingsThread(evidence, ledger, ["ph", "sg"])
    with capture_logs() as lines:
        for _ in range(3):
            thread.look()
    assert evidence.lifecycle("sg", "good").closed() is not None
    assert [(line["event"], line["region"]) for line in lines] == [
        ("closings_wait", "ph"),
        ("closing_stored", "sg"),
    ]
    assert lines[0]["why"] == "ph/bad0: it is denied"
    backend.__class__ = LocalFolder
    with capture_logs() as lines:
        thread.look()
    assert [(line["event"], line["signature_id"]) for line in lines] == [("closing_stored", "bad0")]


def test_one_that_is_erased_or_has_no_evidence_takes_no_closing_time(
    evidence: Evidence, redis: Redis
) -> None:
    with pytest.raises(InvalidInput, match="ph/nobody has no evidence"):
        closings.close(evidence, "ph", "nobody", NOW)
    keep(evidence, "a", "reject")
    assert swept(evidence, redis).erased == 1
    with pytest.raises(InvalidInput, match="ph/a was erased at"):
        closings.close(evidence, "ph", "a", NOW)
    assert kept(evidence, RULES, "ph", "a") is None
    assert survey(evidence, RULES, ["ph"], NOW) == Survey()


def never(*_: Any) -> Any:
    pytest.fail("the vendor is asked while its region is on hold")


def test_an_erasure_of_a_sweep_that_does_not_end_is_in_the_audit_log_and_the_next_sweep_ends_it(
    evidence: Evidence, redis: Redis
) -> None:
    keep(evidence, "a", "reject")
    parts = eraser(evidence, redis)
    on_hold = replace(parts, vendor=Vendor(never, lambda _: 60.0, never))
    (done,) = sweep(on_hold, RULES, survey(evidence, RULES, ["ph"], NOW).over, who="maria")
    assert (done.erased, len(done.refused)) == (0, 1)
    assert "ph/a is destroyed here, but the vendor was not reached" in done.refused[0]
    log = AuditLog(redis)
    assert [(one.act, one.who, one.subject, one.detail) for one in log.entries()] == [
        ("evidence_erase_begin", "maria", "a", "retention: reject is kept for 2y@decided")
    ]
    found = survey(evidence, RULES, ["ph"], NOW)
    assert [(each.signature_id, each.decision) for each in found.over] == [("a", UNENDED)]
    (done,) = sweep(parts, RULES, found.over, who="ben")
    assert (done.erased, done.refused) == (1, [])
    assert [(one.act, one.who) for one in log.entries()] == [
        ("evidence_erase", "ben"),
        ("evidence_erase_begin", "ben"),
        ("evidence_erase_begin", "maria"),
    ]
    assert next(log.entries()).detail.endswith("(retention: reject is kept for 2y@decided, begun by maria)")
    assert over(evidence) == []
