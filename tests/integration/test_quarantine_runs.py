"""Acts on all that match a filter: how a run goes on when people, processes and Redis get in its way."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from schemas.enqueue import EnqueueRequest
from tests.support.redis_states import account
from tests.support.waiting import until
from worker.decisions.endpoints import Endpoint
from worker.errors import LedgerUnavailable
from worker.ledger import Ledger, Quarantine, rights, transitions
from worker.ledger.audit import AuditLog, Via
from worker.ledger.connection import connect
from worker.ledger.console_sessions import ConsoleSessions
from worker.ledger.keys import now_ms
from worker.ledger.quarantine_scan import Position, QuarantineScan, Sought
from worker.ledger.webhooks import Shelf, Webhooks
from worker.ledger.webhooks import State as DeliveryState
from worker.web.console import quarantine_runs
from worker.web.console.quarantine_runs import Act, Asked, Run, Runs, State

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from redis import Redis

SOUGHT = Sought(("ph", "sg"))


def anyone(who: str) -> bool:
    """Whether a user may act: every one."""
    return bool(who)


@pytest.fixture
def runs(redis: Redis) -> Runs:
    return Runs(redis, retention_s=3600, endpoints={}, may=anyone)


def quarantined(ledger: Ledger, region: str, reason: str, *names: str) -> None:
    ledger.enqueue([EnqueueRequest(name, region) for name in names])
    for batch in ledger.claim(region, limit=2000).batches:
        ledger.record(batch, [transitions.quarantine(each, reason=reason) for each in ledger.load(batch)])


def asked(redis: Redis, act: Act = Act.RETRY, reason: str = "") -> Asked:
    sought = Sought(SOUGHT.regions, reason, until_ms=now_ms(redis, "ph"))
    return Asked(act, sought, QuarantineScan(redis).summary(sought).total.count)


def ended(runs: Runs, run_id: str | None) -> Run:
    assert run_id is not None

    def look() -> Run | None:
        run = runs.get(run_id)
        assert run is not None
        return run if run.state is not State.RUNNING else None

    found: Run = until(look)
    return found


def acted(redis: Redis) -> Counter[str]:
    """How many verifications each person has retried, by the audit log."""
    return Counter(each.who for each in AuditLog(redis).entries() if each.act == "quarantine_retry")


def left(redis: Redis, region: str = "ph") -> list[str]:
    return [one.signature_id for one in Quarantine(redis, who="").listed(region)]


class Obstacle:
    """Stands before the act on a page: lets what a test does come between."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, runs: Runs) -> None:
        self._release = runs.release
        self.calls: list[list[str]] = []
        monkeypatch.setattr(Runs, "release", self._made)

    def before(self, ids: list[str]) -> None:
        """What comes before a call. May raise."""

    def after(self, ids: list[str]) -> None:
        """What comes after a call. May raise."""

    def _made(self, act: Act, *, who: str, why: str = "") -> object:
        release = self._release(act, who=who, why=why)

        def do(region: str, ids: Sequence[str]) -> list[bool]:
            self.calls.append(list(ids))
            self.before(list(ids))
            answers = release(region, ids)
            self.after(list(ids))
            return answers

        return do


def test_a_scan_finds_each_once_by_filter_and_slice(redis: Redis, ledger: Ledger) -> None:
    quarantined(ledger, "ph", "UNREADABLE", *(f"a{number:03}" for number in range(30)))
    quarantined(ledger, "sg", "CONFIG", "b")
    for name in left(redis)[:20]:
        # As after an outage: many within one millisecond.
        redis.zadd("ekyc:{ph}:quarantine", {name: 1000})
    scan = QuarantineScan(redis)
    found: list[str] = []
    at: Position | None = Position()
    while at is not None:
        one = scan.slice(SOUGHT, at, limit=7)
        found += [each.signature_id for each in one.entries]
        # What was seen may leave, as it does in a run.
        redis.zrem("ekyc:{ph}:quarantine", *found[-3:])
        at = one.following
    assert sorted(found) == sorted([f"a{number:03}" for number in range(30)] + ["b"])


def test_a_summary_counts_by_region_and_reason(redis: Redis, ledger: Ledger) -> None:
    quarantined(ledger, "ph", "UNREADABLE", "a", "b")
    quarantined(ledger, "sg", "CONFIG", "c")
    for name, at_ms in (("a", 1000), ("b", 2000)):
        redis.zadd("ekyc:{ph}:quarantine", {name: at_ms})
    scan = QuarantineScan(redis)
    whole = scan.summary(SOUGHT)
    assert (whole.total.count, whole.total.oldest_ms) == (3, 1000)
    assert {name: tally.count for name, tally in whole.by_region.items()} == {"ph": 2, "sg": 1}
    assert {name: tally.count for name, tally in whole.by_reason.items()} == {"UNREADABLE": 2, "CONFIG": 1}
    tally = scan.summary(Sought(("ph",), "UNREADABLE", since_ms=1001, until_ms=2000)).total
    assert (tally.count, tally.oldest_ms, tally.newest_ms) == (1, 2000, 2000)
    assert scan.summary(Sought(("ph",), until_ms=1999)).total.count == 1
    assert scan.summary(Sought(("ph",), "CONFIG")).total.count == 0
    for sought in (SOUGHT, Sought(("ph",), since_ms=1001, until_ms=2000), Sought(("ph",), until_ms=999)):
        scanned, totals = scan.summary(sought), scan.totals(sought)
        assert (totals.total, totals.by_region) == (scanned.total, scanned.by_region)
    assert scan.ages("ph", 2500, [(0, 1000), (1000, 0)]) == [1, 1]


def test_a_run_sends_the_event_of_each(redis: Redis, ledger: Ledger) -> None:
    quarantined(ledger, "ph", "UNREADABLE", "a", "b")
    shop = Endpoint("shop", "https://example.org/hook", events=frozenset({"verification.released"}))
    runs = Runs(redis, retention_s=3600, endpoints={"shop": shop}, may=anyone)
    run = ended(runs, runs.begin(asked(redis, Act.DROP), who="maria", why="ticket 7"))
    assert (run.state, run.done, run.is_whole) == (State.FINISHED, 2, True)
    webhooks = Webhooks(redis)
    bodies = [
        one.body for one in webhooks.read("ph", webhooks.ids(Shelf("ph", "shop", DeliveryState.WAITING)))
    ]
    assert len(bodies) == 2
    assert all('"outcome":"dropped"' in body for body in bodies)
    assert [(one.act, one.who, one.via, one.detail) for one in AuditLog(redis).entries()] == [
        ("quarantine_drop", "maria", "console", "ticket 7")
    ] * 2


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_run_that_lost_its_process_says_how_far_it_got_and_goes_on(
    redis: Redis, ledger: Ledger, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    quarantined(ledger, "ph", "UNREADABLE", *(f"a{number:03}" for number in range(450)))
    obstacle = Obstacle(monkeypatch, runs)

    def die(ids: list[str]) -> None:
        del ids
        if len(obstacle.calls) == 2:
            raise SystemExit  # as the end of the process does: nothing is written any more

    monkeypatch.setattr(obstacle, "after", die)
    run_id = runs.begin(asked(redis), who="maria")
    assert run_id is not None
    until(lambda: len(obstacle.calls) == 2)
    assert runs.resume(run_id, who="juan") is False  # its lease still stands
    redis.delete(f"ekyc:console:run:{run_id}:lease")
    found = runs.get(run_id)
    assert found is not None
    assert (found.state, found.done, found.total) == (State.INTERRUPTED, 200, 450)
    assert [(one.id, one.state) for one in Runs(redis, retention_s=1, endpoints={}, may=anyone).recent()] == [
        (run_id, State.INTERRUPTED)
    ]
    monkeypatch.undo()
    assert runs.resume(run_id, who="juan") is True
    run = ended(runs, run_id)
    # The page whose answer was lost is not counted: it is among what had left before.
    assert (run.state, run.done, run.missing, run.begun_by, run.who) == (
        State.FINISHED,
        250,
        200,
        "maria",
        "juan",
    )
    assert left(redis) == []
    by = [one.who for one in AuditLog(redis).entries()]
    assert (by.count("maria"), by.count("juan")) == (400, 50)
    assert runs.resume(run_id, who="juan") is False


def test_a_run_can_be_stopped_and_continued(
    redis: Redis, ledger: Ledger, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    quarantined(ledger, "ph", "UNREADABLE", *(f"a{number:03}" for number in range(450)))
    obstacle = Obstacle(monkeypatch, runs)
    reached, go_on = threading.Event(), threading.Event()

    def wait(ids: list[str]) -> None:
        del ids
        reached.set()
        go_on.wait(30)

    monkeypatch.setattr(obstacle, "before", wait)
    run_id = runs.begin(asked(redis), who="maria")
    assert run_id is not None
    assert reached.wait(30)
    runs.stop(run_id)
    go_on.set()
    run = ended(runs, run_id)
    assert (run.state, run.done, run.error) == (State.STOPPED, 200, "")
    assert len(left(redis)) == 250
    until(lambda: runs.resume(run_id, who="maria"))
    run = ended(runs, run_id)
    assert (run.state, run.done, run.is_whole) == (State.FINISHED, 450, True)


def test_what_others_take_meanwhile_is_told_by_item(
    redis: Redis, ledger: Ledger, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    quarantined(ledger, "ph", "UNREADABLE", "a", "b", "c")
    obstacle = Obstacle(monkeypatch, runs)
    monkeypatch.setattr(
        obstacle, "before", lambda ids: Quarantine(redis, who="juan").retry("ph", ["b"]) and ids
    )
    run = ended(runs, runs.begin(asked(redis), who="maria"))
    assert (run.state, run.done, run.gone, run.is_whole) == (State.FINISHED, 2, 1, False)
    assert runs.told(run.id) == [("ph", "b", "it had left quarantine")]


def test_one_that_cannot_be_done_does_not_stop_the_others(
    redis: Redis, ledger: Ledger, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    quarantined(ledger, "ph", "UNREADABLE", *(f"a{number:02}" for number in range(20)))
    obstacle = Obstacle(monkeypatch, runs)

    def refuse(ids: list[str]) -> None:
        if "a07" in ids:
            raise LedgerUnavailable("a07 is malformed")

    monkeypatch.setattr(obstacle, "before", refuse)
    run = ended(runs, runs.begin(asked(redis), who="maria"))
    assert (run.state, run.done, run.failed) == (State.FINISHED, 19, 1)
    assert runs.told(run.id) == [("ph", "a07", "a07 is malformed")]
    assert left(redis) == ["a07"]


def test_a_redis_that_refuses_everything_stops_the_run_with_the_reason(
    redis: Redis, ledger: Ledger, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    quarantined(ledger, "ph", "UNREADABLE", *(f"a{number:03}" for number in range(100)))
    obstacle = Obstacle(monkeypatch, runs)

    def refuse(ids: list[str]) -> None:
        del ids
        raise LedgerUnavailable("Redis refuses")

    monkeypatch.setattr(obstacle, "before", refuse)
    run = ended(runs, runs.begin(asked(redis), who="maria"))
    assert (run.state, run.error, run.failed) == (
        State.STOPPED,
        "Redis refuses",
        quarantine_runs.MOST_FAILURES,
    )
    assert len(left(redis)) == 100


def test_an_answer_that_is_lost_is_told_as_not_known(
    redis: Redis, ledger: Ledger, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    quarantined(ledger, "ph", "UNREADABLE", "a", "b")
    obstacle = Obstacle(monkeypatch, runs)

    def lose(ids: list[str]) -> None:
        if len(ids) > 1:
            raise LedgerUnavailable("Redis does not answer")

    monkeypatch.setattr(obstacle, "after", lose)
    run = ended(runs, runs.begin(asked(redis), who="maria"))
    assert (run.state, run.done, run.unsure) == (State.FINISHED, 0, 2)
    assert left(redis) == []
    assert {signature_id for _, signature_id, _ in runs.told(run.id)} == {"a", "b"}


def test_the_least_account_can_do_all_of_it(redis: Redis, redis_url: str, ledger: Ledger) -> None:
    quarantined(ledger, "ph", "UNREADABLE", "a")
    with (
        account(redis, *rights.of_ledger(SOUGHT.regions).rules) as name,
        connect(redis_url.replace("//", f"//{name}:@")) as least,
    ):
        scan, runs, log = (
            QuarantineScan(least),
            Runs(least, retention_s=3600, endpoints={}, may=anyone),
            AuditLog(least),
        )
        assert scan.totals(SOUGHT).total.count == 1
        scan.ages("ph", 1, [(0, 1)])
        question = asked(least)
        token = runs.ask("maria", question)
        assert runs.asked("maria", token) == question
        assert runs.take("maria", token)
        assert not runs.take("maria", token)
        run = ended(runs, runs.begin(question, who="maria"))
        assert run.is_whole
        assert not runs.resume(run.id, who="maria")
        runs.stop(run.id)
        log.record("log_in", who="maria", via=Via.CONSOLE)
        assert [one.act for one in log.page().entries] == ["log_in", "quarantine_retry"]
    assert rights.missing(redis, rights.of_ledger(SOUGHT.regions)) == ()


def test_a_run_acts_under_the_name_of_the_person_who_began_it(
    redis: Redis, ledger: Ledger, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client of Redis writes another name into the run before its thread reads it."""
    quarantined(ledger, "ph", "BAD_ID", "a")
    start = runs._start

    def late(run_id: str, lease: str, who: str) -> None:
        redis.hset(f"ekyc:console:run:{run_id}", mapping={"who": "bob", "begun_by": "bob"})
        start(run_id, lease, who)

    monkeypatch.setattr(runs, "_start", late)
    ended(runs, runs.begin(asked(redis), who="ann"))
    assert [(one.who, one.act, one.subject) for one in AuditLog(redis).entries()] == [
        ("ann", "quarantine_retry", "a")
    ]


def test_a_run_stops_with_the_right_of_its_user_and_goes_on_under_another_name(
    redis: Redis, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    quarantined(ledger, "ph", "UNREADABLE", *(f"a{number:03}" for number in range(450)))
    operators = {"ann", "bob"}
    runs = Runs(redis, retention_s=3600, endpoints={}, may=operators.__contains__)
    obstacle = Obstacle(monkeypatch, runs)
    monkeypatch.setattr(obstacle, "after", lambda ids: operators.discard("ann"))
    run = ended(runs, runs.begin(asked(redis), who="ann"))
    assert (run.state, run.done, len(left(redis))) == (State.STOPPED, 200, 250)
    assert run.error == "ann was removed, or is no operator any more. Another operator can continue it"
    assert runs.resume(run.id, who="ann")
    assert ended(runs, run.id).done == 200
    until(lambda: runs.resume(run.id, who="bob"))
    assert ended(runs, run.id).is_whole
    assert acted(redis) == {"ann": 200, "bob": 250}


def test_a_run_stops_when_the_sessions_of_its_user_are_ended_and_that_is_recorded(
    redis: Redis, ledger: Ledger, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    quarantined(ledger, "ph", "UNREADABLE", *(f"a{number:03}" for number in range(450)))
    sessions, obstacle = ConsoleSessions(redis), Obstacle(monkeypatch, runs)
    # One from before it began does not stop it, and neither does that of another user.
    sessions.end_all("ann")

    def end_those_of_both(ids: list[str]) -> None:
        del ids
        sessions.end_all("bob")
        sessions.end_all("ann")

    monkeypatch.setattr(obstacle, "after", end_those_of_both)
    run = ended(runs, runs.begin(asked(redis), who="ann"))
    assert (run.state, run.done, len(left(redis))) == (State.STOPPED, 200, 250)
    assert run.error == "all sessions of ann were ended. An operator can continue it"
    stops = [each for each in AuditLog(redis).entries() if each.act == "run_stop"]
    assert {(each.region, each.who, each.subject) for each in stops} == {
        ("ph", "", run.id),
        ("sg", "", run.id),
    }
    assert {each.detail for each in stops} == {"retry: of ann, whose sessions were all ended"}
    monkeypatch.setattr(obstacle, "after", lambda ids: redis.delete("ekyc:console:revoked:ann"))
    # Ann has logged in again. The word expires while it runs.
    until(lambda: runs.resume(run.id, who="ann"))
    assert ended(runs, run.id).is_whole
    assert acted(redis) == {"ann": 450}


@pytest.mark.parametrize("nth", range(2, 10))
def test_a_thread_whose_run_another_has_continued_does_nothing_more(
    redis: Redis, ledger: Ledger, runs: Runs, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    """Redis was away for longer than a lease. Bob continues ann's run right after the `nth` answer of her thread."""
    quarantined(ledger, "ph", "UNREADABLE", *(f"a{number:03}" for number in range(450)))
    others = Runs(redis, retention_s=3600, endpoints={}, may=anyone)
    patient, calls, resumed, done = quarantine_runs._patient, [], [], []

    def late(call: Callable[[], Any]) -> Any:
        calls.append(threading.current_thread())
        if calls[0] is not calls[-1] or calls.count(calls[0]) != nth:
            return patient(call)
        run_id = runs.recent()[0].id
        redis.delete(f"ekyc:console:run:{run_id}:lease")
        answer = patient(call)
        resumed.append(others.resume(run_id, who="bob"))
        done.append(acted(redis)["ann"])
        return answer

    monkeypatch.setattr(quarantine_runs, "_patient", late)
    ended(runs, runs.begin(asked(redis), who="ann"))
    until(lambda: not any(each.is_alive() for each in calls))
    assert len(resumed) == 1
    assert acted(redis)["ann"] == (done[0] if resumed[0] else 450)
    assert acted(redis).total() == 450


def test_a_thread_does_not_begin_again_with_a_run_that_another_has_ended(
    redis: Redis, ledger: Ledger, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    quarantined(ledger, "ph", "UNREADABLE", "a")
    others, obstacle = Runs(redis, retention_s=3600, endpoints={}, may=anyone), Obstacle(monkeypatch, runs)
    go_on = threading.Event()
    monkeypatch.setattr(obstacle, "before", lambda ids: go_on.wait(30) and ids)
    run_id = runs.begin(asked(redis), who="ann")
    until(lambda: obstacle.calls)
    redis.delete(f"ekyc:console:run:{run_id}:lease")
    monkeypatch.setattr(obstacle, "before", lambda ids: ids)
    assert run_id is not None
    assert others.resume(run_id, who="bob")
    assert ended(runs, run_id).done == 1
    ends_at = redis.hget(f"ekyc:console:run:{run_id}", "ended_ms")
    go_on.set()
    until(lambda: not any(each.name == "quarantine run" for each in threading.enumerate()))
    assert redis.hget(f"ekyc:console:run:{run_id}", "ended_ms") == ends_at


def test_a_process_works_on_a_few_runs_at_a_time(
    redis: Redis, ledger: Ledger, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    quarantined(ledger, "ph", "UNREADABLE", "a")
    obstacle, go_on = Obstacle(monkeypatch, runs), threading.Event()
    monkeypatch.setattr(obstacle, "before", lambda ids: go_on.wait(30) and ids)
    question = asked(redis)
    begun = [runs.begin(question, who="maria") for _ in range(quarantine_runs.AT_ONCE)]
    assert runs.begin(question, who="maria") is None
    go_on.set()
    for each in begun:
        ended(runs, each)
    until(lambda: runs.begin(question, who="maria"))
