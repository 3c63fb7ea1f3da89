"""What a client of Redis writes into one verification does not stop the others of its batch."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import pytest
from redis import Redis
from structlog.testing import capture_logs

from schemas.enqueue import EnqueueRequest
from tests.support.redis_attacker import DECIDED, Attacker
from worker.client import enqueue
from worker.errors import LedgerUnavailable
from worker.ledger import Ledger, Quarantine, damage, transitions
from worker.ledger.erasures import Erasures, Marked
from worker.ledger.evidence_log import EvidenceLogQueue
from worker.ledger.fields import Field
from worker.ledger.keys import now_ms
from worker.ledger.moments import rfc3339
from worker.ledger.quarantine_scan import QuarantineScan, Sought
from worker.ledger.scripts import NAMES, source
from worker.ledger.stats import Stats
from worker.ledger.transitions import Trip
from worker.ledger.webhooks import DeliveryBatch, Kind, NewDelivery, Outcome, Wanted, Webhooks
from worker.runtime.hold_log import HoldLog
from worker.testing import LocalFleet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from worker.ledger.models import Claim


@pytest.fixture(scope="module")
def fleet() -> Iterator[LocalFleet]:
    with LocalFleet(settings={"ADVANCE_REGIONS": "ph"}) as fleet:
        yield fleet


@pytest.mark.parametrize(
    ("field", "text", "counts"),
    [
        (Field.CONTEXT, '"\\ud800"', False),
        (Field.CONTEXT, "NaN", False),
        (Field.CONTEXT, '{"a":1e999}', False),
        (Field.CONTEXT, "{", False),
        (Field.CONTEXT, '"' + "x" * 10_000 + '"', False),
        (Field.POLLS, "x", True),
        (Field.POLLS, "9" * 400, True),
        (Field.SETTLED_AT, "-9", True),
        (Field.EVIDENCE, "zzz", True),
    ],
)
def test_the_others_are_decided(fleet: LocalFleet, field: Field, text: str, *, counts: bool) -> None:
    names = [f"pass-{field.name.lower()}-{abs(hash(text)) % 10**6}-{which}" for which in ("bad", "good")]
    for name in names:
        enqueue(name, "ph")
    assert len(fleet.drain()) == 2
    with Redis.from_url(fleet.redis_url) as redis:
        attacker = Attacker(redis, fleet.redis_url)
        for name in names:
            attacker.write(dict.fromkeys(DECIDED, ""), name)
        attacker.write({field: text}, names[0])
        for name in names:
            attacker.make_due("routing", name)
            redis.zrem("ekyc:{ph}:done", name)
        delivered = {each.signature_id for each in fleet.drain()}
    assert delivered == set(names if counts else names[1:])


# What a claim returns.

PH = "ekyc:{ph}:"


def claim(ledger: Ledger) -> Claim:
    """Claim `good`, which must be the only verification that a worker can load."""
    ledger.enqueue([EnqueueRequest("good", "ph")])
    found = ledger.claim("ph", limit=9)
    assert [one.signature_id for batch in found.batches for one in ledger.load(batch)] == ["good"]
    return found


@pytest.mark.parametrize(
    ("line", "reads"),
    [
        (b"x", (0, "", "")),
        (b"", None),
        (b"\xff|hold|\xff|x", (0, "hold", "\ufffd")),
        (b"-5|hold|why|x", (0, "hold", "why")),
        (b"9" * 5000 + b"|hold|why|x", (0, "hold", "why")),
        (b"999999999999999|hold|why|x", (0, "hold", "why")),
        (b"1700000000000|hold|why", (1_700_000_000_000, "hold", "why")),
        (b"1700000000000|hold|why|x|y", (1_700_000_000_000, "hold", "why")),
    ],
)
def test_an_act_that_is_none_stops_no_claim(
    redis: Redis, ledger: Ledger, line: bytes, reads: tuple[int, str, str] | None
) -> None:
    redis.rpush(f"{PH}acts", line)
    act = claim(ledger).act
    assert (act and (act.at_ms, act.name, act.detail)) == reads
    log = HoldLog(redis)
    log.look("ph", act)
    redis.rpush(f"{PH}acts", "1700000000000|resume|why|maria")
    with capture_logs() as lines:
        log.look("ph", ledger.claim("ph", limit=1).act)
    assert [each["event"] for each in lines] == ["region_resumed"]
    acts = Quarantine(redis, who="").acts("ph")
    assert len([rfc3339(each.at_ms) for each in acts]) == 2


@pytest.mark.parametrize(
    "fields",
    [
        {Field.STAGE: b"zzz"},
        {Field.STAGE: b"\xff"},
        {Field.STAGE: b"done"},
        {Field.STAGE: b"erased"},
        {Field.STAGE: b"zzz", Field.STARTS: b"9"},
        {Field.STAGE: b"done", Field.STARTS: b"9"},
        {Field.STAGE: b"polling", Field.STARTS: b"9", Field.HOLDER: b"a/b/\xff"},
        {Field.STAGE: b"polling", Field.HOLDER: b"a/b/\xff"},
        {Field.STAGE: b"polling", Field.PIPELINE: b"\xff"},
    ],
)
def test_a_lease_that_is_none_stops_no_claim(
    redis: Redis, ledger: Ledger, fields: dict[Field, bytes]
) -> None:
    redis.hset(f"{PH}v:bad", mapping={field.value: value for field, value in fields.items()})
    redis.zadd(f"{PH}leased", {"bad": 1})
    ledger.enqueue([EnqueueRequest("good", "ph")])
    found = ledger.claim("ph", limit=9)
    assert [each.signature_id for each in found.quarantined + found.expired] == (
        ["bad"] if fields[Field.STAGE] == b"polling" else []
    )
    taken = [one.signature_id for batch in found.batches for one in ledger.load(batch)]
    assert sorted(taken) == (["bad", "good"] if found.expired else ["good"])
    assert redis.zscore(f"{PH}leased", "good") is not None
    if fields[Field.STAGE] != b"polling":
        # It is of no stage that a worker takes, so it is in no set of a stage either.
        assert redis.zscore(f"{PH}leased", "bad") is None
        assert not redis.keys(f"{PH}due:zzz*")
        assert redis.hget(f"{PH}v:bad", Field.STAGE.value) == fields[Field.STAGE]


@pytest.mark.parametrize("set_", ["due:polling", "due:archiving", "leased"])
def test_an_id_that_is_none_stops_no_claim(redis: Redis, ledger: Ledger, set_: str) -> None:
    redis.zadd(f"{PH}{set_}", {b"\xff\xfe": 1})
    if set_ == "leased":
        redis.hset(f"{PH}v:".encode() + b"\xff\xfe", Field.STAGE.value, "polling")
    ledger.enqueue([EnqueueRequest("good", "ph")])
    loaded = [each for batch in ledger.claim("ph", limit=9).batches for each in ledger.load(batch)]
    assert [one.signature_id for one in loaded][-1:] == ["good"]


@pytest.mark.every_server
@pytest.mark.parametrize("set_", ["due:polling", "due:archiving", "due:routing", "leased"])
def test_a_verification_whose_key_is_damaged_stops_no_claim(redis: Redis, ledger: Ledger, set_: str) -> None:
    redis.set(f"{PH}v:bad", "x")
    redis.zadd(f"{PH}{set_}", {"bad": 1})
    assert claim(ledger).damaged == ("bad",)
    assert "ekyc:{ph}:v:bad" in damage.found(redis, ["ph"], with_ids=True)
    # It is looked at again, once a minute.
    at_ms = redis.zscore(f"{PH}{set_}", "bad")
    assert at_ms
    assert 50_000 < at_ms - now_ms(redis, "ph") <= 60_000
    redis.delete(f"{PH}v:bad")
    redis.hset(f"{PH}v:bad", Field.STAGE.value, "polling")
    redis.zadd(f"{PH}due:polling", {"bad": 1})
    assert ledger.claim("ph", limit=9).batches


@pytest.mark.every_server
@pytest.mark.parametrize("list_", ["t", "f"])
def test_a_timeline_whose_key_is_damaged_stops_nobody(redis: Redis, ledger: Ledger, list_: str) -> None:
    ledger.enqueue([EnqueueRequest("a", "ph"), EnqueueRequest("b", "ph")])
    redis.delete(f"{PH}{list_}:a")
    redis.set(f"{PH}{list_}:a", "x")
    ledger.claim("ph", limit=9)
    redis.zadd(f"{PH}leased", dict.fromkeys(("a", "b"), 1))
    claim = ledger.claim("ph", limit=9)
    assert [each.signature_id for each in claim.expired] == ["a", "b"]
    (batch,) = claim.batches
    writes = [transitions.quarantine(each, reason="UNREADABLE") for each in ledger.load(batch)]
    assert [each.written for each in ledger.record(batch, writes)] == [True, True]


def test_a_verification_whose_key_is_damaged_stops_no_correction_of_the_clock(
    redis: Redis, ledger: Ledger
) -> None:
    ledger.enqueue([EnqueueRequest("a", "ph")])
    ledger.claim("ph", limit=9)
    redis.hset(f"{PH}clock", "ahead", 7_200_000)
    far = now_ms(redis, "ph") + 60_000
    redis.set(f"{PH}v:bad", "x")
    redis.zadd(f"{PH}due:polling", {"bad": far, "later": far + 1})
    ledger.claim("ph", limit=9)
    due: list[Any] = redis.zrange(f"{PH}due:polling", 0, -1, withscores=True)
    assert [each for each, _ in due] == [b"bad", b"later"]
    assert all(0 < at_ms - now_ms(redis, "ph") <= 61_000 for _, at_ms in due)


def test_an_identity_that_is_none_is_another_one(redis: Redis, ledger: Ledger) -> None:
    redis.hset(f"{PH}ledger", mapping={"id": b"\xff", "before": b"\xfe a"})
    replaced = ledger.claim("ph", limit=1, identity="b").replaced
    assert replaced
    assert (replaced.id, replaced.before) == ("\ufffd", ("\ufffd", "a"))
    assert ledger.identify("ph").id == "\ufffd"


def test_a_timeline_that_is_none_can_be_read(redis: Redis, ledger: Ledger) -> None:
    claim(ledger)
    redis.rpush(f"{PH}t:good", "x", b"\xff|||", f"1|fault|why|w|1|2|3|{'9' * 5000}", f"{'9' * 15}|a|b|c")
    status = ledger.status("ph", "good")
    assert status
    assert len([rfc3339(each.at_ms) for each in status.timeline]) == 4


@pytest.mark.every_server
@pytest.mark.parametrize("planted", ["x", "", "1.5", "9" * 400, "9223372036854775807"])
def test_a_counter_that_is_none_stops_no_work(redis: Redis, ledger: Ledger, planted: str) -> None:
    names = ("enqueued", "polls", "quarantine:UNREADABLE", "took:poll_lateness:0.05", "extra_calls")
    redis.hset("ekyc:{ph}:counts", mapping=dict.fromkeys(names, planted))
    assert ledger.enqueue([EnqueueRequest("a", "ph")]) == [True]
    (batch,) = ledger.claim("ph", limit=1).batches
    writes = [transitions.quarantine(each, reason="UNREADABLE") for each in ledger.load(batch)]
    assert ledger.record(batch, writes)[0].written
    assert ledger.spend("ph") == 0
    counts = Stats(redis).counts("ph")
    assert (counts.enqueued, counts.quarantined, counts.extra_calls) == (1, 1, 1)


@pytest.mark.parametrize("planted", ["x", "", "nan", "inf", "-inf", "1e300", "9" * 400])
def test_a_hold_that_is_none_stops_no_claim(redis: Redis, ledger: Ledger, planted: str) -> None:
    """One that no calendar ends is a hold, as a person may see on each page, and end it."""
    ledger.enqueue([EnqueueRequest("a", "ph")])
    redis.hset("ekyc:{ph}:hold", mapping=dict.fromkeys(("until", "at"), planted))
    redis.hset("ekyc:{ph}:health", mapping=dict.fromkeys(("trips", "probe", "rest"), planted))
    claim = ledger.claim("ph", limit=1)
    held = Stats(redis).counts("ph").holds
    assert claim.batches or held
    ledger.resume("ph")
    redis.delete("ekyc:{ph}:health")
    assert claim.batches or ledger.claim("ph", limit=1).batches


PLANTED = ["x", "", "1.5", "nan", "inf", "-inf", "1e300", "9" * 400, "9223372036854775807"]


@pytest.mark.every_server
@pytest.mark.parametrize("planted", PLANTED)
def test_a_number_of_a_region_that_is_none_stops_nobody(redis: Redis, ledger: Ledger, planted: str) -> None:
    redis.hset(f"{PH}clock", mapping=dict.fromkeys(("ahead", "seen"), planted))
    redis.hset(f"{PH}log", mapping=dict.fromkeys(("queued", "logged", "skipped", "size"), planted))
    redis.hset(f"{PH}alarm", "at", planted)
    redis.hset(f"{PH}failing_since", "VENDOR_DOWN", planted)
    for key in ("tat", "suspect"):
        redis.set(f"{PH}{key}", planted)
    names = ("a", "b")
    assert ledger.enqueue([EnqueueRequest(each, "ph") for each in names]) == [True, True]
    (batch,) = Ledger(redis, rate=1000.0).claim("ph", limit=2).batches
    redis.hset(f"{PH}v:a", "starts", planted)
    loaded = ledger.load(batch)
    redis.hset(f"{PH}v:a", "starts", planted)
    vendor_down = Trip(1, 1, 1, "VENDOR_DOWN")
    writes = [replace(transitions.release(each), trip=vendor_down) for each in loaded]
    assert [each.written for each in ledger.record(batch, writes)] == [True, True]
    queue = EvidenceLogQueue(redis)
    assert queue.add("ph", names) == 2
    waits = queue.pending("ph", 10)
    assert [each.signature_id for each in waits] == list(names)
    ledger.resume("ph")
    assert ledger.claim("ph", limit=2).batches


@pytest.mark.parametrize("name", ["ahead", "seen"])
@pytest.mark.parametrize("planted", PLANTED)
def test_a_clock_that_is_none_is_read_as_by_the_scripts(
    redis: Redis, ledger: Ledger, name: str, planted: str
) -> None:
    claim(ledger)
    redis.hset(f"{PH}clock", name, planted)
    status = ledger.status("ph", "good")
    assert status
    assert abs(now_ms(redis, "ph") - status.now_ms) < 10_000
    rfc3339(now_ms(redis, "ph"))


def test_an_error_of_a_script_is_text() -> None:
    """Before Redis 7 one that is a table is lost: the answer is "error in error handling", and not OOM or WRONGTYPE."""
    raised = {name: re.findall(r"\berror\(([^)]*)", source(name)) for name in NAMES}
    assert {text for found in raised.values() for text in found if not text.startswith("'")} == set()


@pytest.mark.every_server
@pytest.mark.parametrize("missing", [Field.QUARANTINE_REASON, Field.QUARANTINED_FROM])
def test_one_in_quarantine_that_is_none_keeps_no_other_there(
    redis: Redis, ledger: Ledger, missing: Field
) -> None:
    """One whose stage is not known cannot be retried. It can be dropped, and erased."""
    names = ("a", "bad", "c")
    ledger.enqueue([EnqueueRequest(each, "ph") for each in names])
    (batch,) = ledger.claim("ph", limit=3).batches
    ledger.record(batch, [transitions.quarantine(each, reason="UNREADABLE") for each in ledger.load(batch)])
    redis.hdel(f"{PH}v:bad", missing.value)
    redis.zadd(f"{PH}quarantine", {"of-never": 1})
    quarantine = Quarantine(redis, who="maria")
    is_known = missing is Field.QUARANTINE_REASON
    assert quarantine.retry("ph", ["of-never", *names]) == [False, True, is_known, True]
    assert sorted(ledger.claim("ph", limit=9).batches[0].signature_ids) == (
        ["a", "bad", "c"] if is_known else ["a", "c"]
    )
    assert quarantine.drop("ph", ["of-never", "bad"], why="none of ours") == [True, not is_known]
    assert redis.zcard(f"{PH}quarantine") == 0


@pytest.mark.every_server
def test_one_in_quarantine_without_a_reason_can_be_erased(redis: Redis, ledger: Ledger) -> None:
    redis.hset(f"{PH}v:bad", Field.STAGE.value, "quarantined")
    redis.zadd(f"{PH}quarantine", {"bad": 1})
    assert Erasures(redis).mark("ph", "bad", decision_id="d", stored=True) is Marked.MARKED
    assert redis.zcard(f"{PH}quarantine") == 0
    assert ledger.status("ph", "bad")


def test_an_endpoint_that_is_none_stops_no_erasure(redis: Redis, ledger: Ledger) -> None:
    ledger.enqueue([EnqueueRequest("good", "ph")])
    redis.sadd(f"{PH}endpoints", b"\xff")
    assert Erasures(redis).mark("ph", "of-the-store", decision_id="d", stored=True) is Marked.MARKED


#: By act, keys of a region that it writes.
WRITTEN: Final = {
    "enqueue": ("counts", "due:polling", "wake", "alarm"),
    "retry": ("counts", "due:polling", "wake", "quarantine", "leased"),
    "drop": ("counts", "quarantine", "done", "log:pending"),
    "hold": ("counts", "hold", "acts", "health"),
    "record": ("counts", "due:polling", "quarantine", "leased", "feed"),
}


@pytest.mark.every_server
@pytest.mark.parametrize(("act", "name"), [(act, name) for act, names in WRITTEN.items() for name in names])
def test_what_meets_a_damaged_key_has_changed_nothing(
    redis: Redis, ledger: Ledger, act: str, name: str
) -> None:
    """It is done once the key is repaired: Redis does not undo what a script has written before its error."""
    ledger.enqueue([EnqueueRequest("q", "ph"), EnqueueRequest("b", "ph")])
    (batch,) = ledger.claim("ph", limit=9).batches
    loaded = ledger.load(batch)
    ledger.record(batch, [transitions.quarantine(each, reason="UNREADABLE") for each in loaded[:1]])
    people = Quarantine(redis, who="maria", via="cli")
    acts: dict[str, Callable[[], object]] = {
        "enqueue": lambda: ledger.enqueue([EnqueueRequest("new", "ph")]),
        "retry": lambda: people.retry("ph", ["q"]),
        "drop": lambda: people.drop("ph", ["q"], why="test"),
        "hold": lambda: ledger.hold("ph", for_s=60.0, reason="test", who="maria"),
        "record": lambda: ledger.record(batch, [transitions.release(each) for each in loaded[1:]]),
    }

    def everything() -> dict[bytes, bytes | None]:
        return {key: redis.dump(key) for key in redis.scan_iter()}

    away = redis.exists(f"{PH}{name}") and redis.rename(f"{PH}{name}", f"{PH}away")
    redis.set(f"{PH}{name}", "x")
    before = everything()
    with pytest.raises(LedgerUnavailable):
        acts[act]()
    assert everything() == before
    redis.delete(f"{PH}{name}")
    if away:
        redis.rename(f"{PH}away", f"{PH}{name}")
    acts[act]()
    counts = Stats(redis).counts("ph")
    ended = counts.waiting + counts.in_flight + counts.quarantined + counts.done + counts.dropped
    assert counts.enqueued == ended


@pytest.mark.every_server
def test_an_id_whose_key_is_damaged_stops_no_other_of_its_call(redis: Redis, ledger: Ledger) -> None:
    redis.set(f"{PH}v:bad", "x")
    requests = [EnqueueRequest(each, "ph") for each in ("a", "bad", "c")]
    assert ledger.enqueue(requests) == [True, False, True]
    (batch,) = ledger.claim("ph", limit=9).batches
    assert batch.signature_ids == ("a", "c")


def damage_key(redis: Redis, key: str) -> bytes:
    """Put a string in place of a key. Returns what restores it."""
    kept = redis.dump(f"{PH}{key}") or b""
    redis.set(f"{PH}{key}", "x")
    return kept


@pytest.mark.every_server
def test_a_verification_whose_key_is_damaged_in_work_stops_no_other_of_its_batch(
    redis: Redis, ledger: Ledger
) -> None:
    ledger.enqueue([EnqueueRequest(each, "ph") for each in ("a", "bad", "c")])
    (batch,) = ledger.claim("ph", limit=9).batches
    kept = damage_key(redis, "v:bad")
    assert [each.signature_id for each in ledger.load(batch)] == ["a", "c"]
    redis.restore(f"{PH}v:bad", 0, kept, replace=True)
    (bad,) = ledger.load(batch)
    kept = damage_key(redis, "v:bad")
    assert ledger.renew(batch, batch.signature_ids) == 2
    assert ledger.nudge("ph", ["a", "bad", "c"]) == [False, False, False]
    loaded = [replace(bad, signature_id=each) for each in batch.signature_ids]
    decided = [transitions.decide(each, name="approve", decision="{}") for each in loaded]
    # The other decisions of the batch are in the feed.
    assert [each.written for each in ledger.record(batch, decided)] == [True, False, True]
    assert redis.zrange(f"{PH}feed", 0, -1) == [b"a", b"c"]
    redis.zadd(f"{PH}leased", {"bad": 1})
    assert ledger.claim("ph", limit=9).damaged == ("bad",)
    redis.restore(f"{PH}v:bad", 0, kept, replace=True)
    redis.zadd(f"{PH}leased", {"bad": 1})
    (again,) = ledger.claim("ph", limit=9).batches
    assert [each.signature_id for each in ledger.load(again)] == ["bad"]


@pytest.mark.every_server
@pytest.mark.parametrize("act", ["retry", "drop"])
def test_one_in_quarantine_whose_key_is_damaged_keeps_no_other_there(
    redis: Redis, ledger: Ledger, act: str
) -> None:
    names = ["a", "bad", "c"]
    ledger.enqueue([EnqueueRequest(each, "ph") for each in names])
    (batch,) = ledger.claim("ph", limit=9).batches
    ledger.record(batch, [transitions.quarantine(each, reason="UNREADABLE") for each in ledger.load(batch)])
    kept = damage_key(redis, "v:bad")
    found = QuarantineScan(redis).roll(Sought(("ph",)))
    assert [(each.signature_id, each.reason) for each in found.entries] == [
        ("a", "UNREADABLE"),
        ("bad", ""),
        ("c", "UNREADABLE"),
    ]
    people = Quarantine(redis, who="maria")
    acts: dict[str, Callable[[str, list[str]], list[bool]]] = {
        "retry": people.retry,
        "drop": partial(people.drop, why="test"),
    }
    assert acts[act]("ph", names) == [True, False, True]
    assert people.damaged == [f"{PH}v:bad"]
    assert redis.zrange(f"{PH}quarantine", 0, -1) == [b"bad"]
    redis.restore(f"{PH}v:bad", 0, kept, replace=True)
    assert acts[act]("ph", names) == [False, True, False]
    counts = Stats(redis).counts("ph")
    assert (counts.quarantined, counts.waiting + counts.dropped) == (0, 3)
    assert counts.quarantine == {}


@pytest.mark.every_server
def test_a_delivery_whose_key_is_damaged_stops_no_other(redis: Redis) -> None:
    webhooks = Webhooks(redis)
    names = ["a", "bad", "c"]
    webhooks.add("ph", "", [NewDelivery(each, "shop", "region.held", "{}") for each in names])

    def claim() -> list[DeliveryBatch]:
        return list(webhooks.claim("ph", [Wanted("shop", 9)]).batches)

    kept = damage_key(redis, "webhook:bad")
    (batch,) = claim()
    assert batch.delivery_ids == ("a", "c")
    assert "ekyc:{ph}:webhook:bad" in damage.found(redis, ["ph"], with_ids=True)
    assert webhooks.resend("ph", ["bad"], who="maria") == [False]
    redis.restore(f"{PH}webhook:bad", 0, kept, replace=True)
    redis.zadd(f"{PH}due:webhook:shop", {"bad": 1})
    (other,) = claim()
    both = replace(batch, delivery_ids=(*batch.delivery_ids, *other.delivery_ids))
    redis.hset(f"{PH}webhook:bad", "holder", batch.id)
    loaded = webhooks.load(both)
    assert [each.id for each in loaded] == ["a", "c", "bad"]
    damage_key(redis, "webhook:bad")
    assert webhooks.renew(both, names) == 2
    assert webhooks.load(both) == []
    outcomes = [Outcome(each, Kind.ACKNOWLEDGED) for each in ("bad", "a", "c")]
    assert [bool(each) for each in webhooks.record(both, outcomes)] == [False, True, True]
    # Its lease ends.
    redis.zadd(f"{PH}leased:webhook:shop", {"bad": 1})
    assert claim() == []
    assert redis.zscore(f"{PH}due:webhook:shop", "bad")
    assert webhooks.drop("ph", ["bad"], who="maria", why="test") == [False]


@pytest.mark.every_server
def test_an_acknowledged_decision_of_a_damaged_verification_stops_no_other_delivery(redis: Redis) -> None:
    webhooks = Webhooks(redis)
    for each in ("bad", "c"):
        webhooks.add("ph", each, [NewDelivery(f"d-{each}", "shop", "verification.decided", "{}")])
    damage_key(redis, "v:bad")
    (batch,) = webhooks.claim("ph", [Wanted("shop", 9)]).batches
    loaded = webhooks.load(batch)
    answers = webhooks.record(batch, [Outcome(each.id, Kind.ACKNOWLEDGED) for each in loaded])
    assert [bool(each) for each in answers] == [True, True]


@pytest.mark.every_server
def test_an_erasure_that_meets_a_damaged_key_has_changed_nothing(redis: Redis, ledger: Ledger) -> None:
    ledger.enqueue([EnqueueRequest("a", "ph")])
    redis.hset(f"{PH}v:a", Field.STAGE.value, "done")
    damage_key(redis, "e:a")
    before = {key: redis.dump(key) for key in redis.scan_iter()}
    with pytest.raises(LedgerUnavailable):
        Erasures(redis).mark("ph", "a", decision_id="d", stored=True, who="maria")
    assert {key: redis.dump(key) for key in redis.scan_iter()} == before


#: By act, keys that it writes for the endpoints, or for the circuit breaker.
WRITTEN_WITH_EVENTS: Final = {
    "retry": ("endpoints", "alarm:webhook", "due:webhook:shop"),
    "drop": ("endpoints", "alarm:webhook", "due:webhook:shop"),
    "hold": ("endpoints", "alarm:webhook", "due:webhook:shop"),
    "record": ("endpoints", "alarm:webhook", "due:webhook:shop", "failing_since", "failing:VENDOR_DOWN"),
}


@pytest.mark.every_server
@pytest.mark.parametrize(
    ("act", "name"), [(act, name) for act, names in WRITTEN_WITH_EVENTS.items() for name in names]
)
def test_what_meets_a_damaged_key_of_an_endpoint_or_of_the_breaker_has_changed_nothing(
    redis: Redis, ledger: Ledger, act: str, name: str
) -> None:
    """A decision of the same call would be missing in the feed for good."""
    ledger.enqueue([EnqueueRequest(each, "ph") for each in ("a", "b", "c", "d")])
    (batch,) = ledger.claim("ph", limit=9).batches
    loaded = ledger.load(batch)
    ledger.record(batch, [transitions.quarantine(each, reason="UNREADABLE") for each in loaded[:1]])
    people = Quarantine(redis, who="maria", via="cli")
    event = NewDelivery("d", "shop", "verification.decided", "{}")
    trip = Trip(1, 1, 1, "VENDOR_DOWN")
    writes = [
        transitions.decide(loaded[1], name="approve", decision="{}"),
        transitions.decide(loaded[2], name="approve", decision="{}", deliveries=(event,)),
        replace(transitions.release(loaded[3]), trip=trip),
    ]
    acts: dict[str, Callable[[], object]] = {
        "retry": lambda: people.retry("ph", ["a"], events=lambda _: [event]),
        "drop": lambda: people.drop("ph", ["a"], why="test", events=lambda _: [event]),
        "hold": lambda: ledger.hold("ph", for_s=60.0, reason="test", who="maria", events=[event]),
        "record": lambda: ledger.record(batch, writes),
    }
    redis.set(f"{PH}{name}", "x")
    before = {key: redis.dump(key) for key in redis.scan_iter()}
    with pytest.raises(LedgerUnavailable):
        acts[act]()
    assert {key: redis.dump(key) for key in redis.scan_iter()} == before
    redis.delete(f"{PH}{name}")
    acts[act]()
    assert redis.zrange(f"{PH}feed", 0, -1) == ([b"b", b"c"] if act == "record" else [])


@pytest.mark.every_server
@pytest.mark.parametrize(
    "name", ["endpoint:", "due:webhook:", "leased:webhook:", "failed:webhook:", "tat:webhook:"]
)
def test_an_endpoint_whose_key_is_damaged_stops_no_other_endpoint(redis: Redis, name: str) -> None:
    webhooks = Webhooks(redis)
    for endpoint in ("bad", "shop"):
        webhooks.add("ph", "", [NewDelivery(f"d-{endpoint}", endpoint, "region.held", "{}")])
    redis.delete(f"{PH}{name}bad")
    redis.sadd(f"{PH}{name}bad", "x")
    (batch,) = webhooks.claim("ph", [Wanted("bad", 9, 5.0), Wanted("shop", 9)]).batches
    assert [each.id for each in webhooks.load(batch)] == ["d-shop"]
    assert f"ekyc:{{ph}}:{name}bad" in damage.found(redis, ["ph"])
