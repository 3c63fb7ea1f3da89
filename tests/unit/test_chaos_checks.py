"""The checks of the chaos suite go red for each thing that may go wrong, and for nothing else."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from schemas.decision import decision_id
from tests.chaos.checks import check
from tests.chaos.delays import delays, longest_due, longest_way
from tests.chaos.driver import Run
from tests.chaos.faults import Injected
from tests.chaos.leases import Deed, Step, deeds
from tests.chaos.pipeline import Received
from tests.chaos.population import Traveller
from tests.chaos.profile import LONG, SHORT
from tests.chaos.report import page
from tests.chaos.schedule import Strike
from tests.chaos.state import Moment, Record
from tests.chaos.touched import touched
from tests.chaos.vendor import Tally
from tests.chaos.watch import Span

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: Of all moments in these tests, in ms.
T0 = 1_700_000_000_000

#: The process that delivers.
SENDER = 41

DUE, CLAIMED, BEGUN, RENEWED = Step

DONE = ("ph", "pass-000001")
BAD = ("sg", "nodata-000002")


def received(key: tuple[str, str], at_ms: int = T0 + 2000, **changes: Any) -> Received:
    region, signature_id = key
    decision = {
        "id": decision_id(region, signature_id),
        "signature_id": signature_id,
        "region": region,
        "decision": "approve",
        "overall_result": "PASS",
        "error_code": "SUCCESS",
        "reason": None,
        "decided_at": "2026-01-01T00:00:00.000Z",
        "evidence": {"url": f"file:///e/{region}/{signature_id}", "complete": True},
        "context": {"application": 1},
        "polls": 1,
        "table": "1",
    } | changes
    body = json.dumps([[], {"decision": decision}, {}])
    task = f"onboarding.{decision['decision']}"
    return Received(at_ms, decision_id(region, signature_id), task, body, f"gen{SENDER}@host")


def timeline(*events: tuple[int, str]) -> tuple[Moment, ...]:
    return tuple(Moment(T0 + at_ms, event, "polling", f"{SENDER}@host") for at_ms, event in events)


def steps(*told: tuple[Step, int]) -> list[Deed]:
    return [Deed(T0 + at_ms, step, "polling" if step is Step.DUE else "") for step, at_ms in told]


def killed(at_ms: int, pid: int = SENDER) -> Injected:
    strike, span = Strike(1.0, "worker_killed", place=0), Span(T0 + at_ms, T0 + at_ms + 5)
    return Injected(strike, span, {DONE}, pid=pid, ready=True)


@pytest.fixture
def run() -> Run:
    """Two verifications: one is done, one is in quarantine, and all is as it should be."""
    profile = replace(SHORT, verifications=1, least_kills=0)
    run = Run(profile, 1, began_ms=T0, finished_s=1.0, canaries_done=True, usual=Tally(1000, 190))
    run.accepted = [
        Traveller(DONE[1], DONE[0], {"application": 1}, "approve"),
        Traveller(BAD[1], BAD[0], {"application": 2}, None),
    ]
    run.received = [received(DONE)]
    run.state.records = {
        DONE: Record(
            {"s": "done", "p": "1"},
            timeline((1000, "settled"), (1500, "archived"), (1600, "decided"), (1700, "delivered")),
            (),
        ),
        BAD: Record(
            {"s": "quarantined", "q": "UNREADABLE", "p": "1"}, timeline((900, "quarantined")), ("quarantine",)
        ),
    }
    run.state.counters = {
        "ph": {"enqueued": 1, "done": 1, "polls": 1, "answer:result": 1, "decision:approve": 1},
        "sg": {"enqueued": 1, "polls": 1, "answer:unreadable": 1, "quarantine:UNREADABLE": 1},
    }
    run.state.sets = {"ph": {}, "sg": {"quarantine": 1}}
    run.state.evidence = {DONE: [], BAD: ["there is no manifest"]}
    run.state.logged = {DONE[0]: [DONE[1]], BAD[0]: []}
    run.doing, run.exit_codes = {"w0": []}, {"w0": 0}
    return run


def red(run: Run) -> list[str]:
    """What speaks against a run."""
    return [line for one in check(run) for line in one.against]


def test_a_run_in_which_all_went_well_is_green(run: Run) -> None:
    assert red(run) == []
    assert "run is green" in page(run, check(run), "command")


def lose_the_decision(run: Run) -> None:
    run.received = []


def lose_the_record(run: Run) -> None:
    del run.state.records[BAD]


def quarantine_without_reason(run: Run) -> None:
    run.state.records[BAD].fields["q"] = ""


def decide_what_is_in_quarantine(run: Run) -> None:
    run.received.append(received(BAD))


def quarantine_the_innocent(run: Run) -> None:
    run.accepted[1] = replace(run.accepted[1], decision="approve")


def quarantine_nearly_all(run: Run) -> None:
    run.profile = replace(run.profile, verifications=3)


def tell_of_a_stranger(run: Run) -> None:
    run.received.append(received(("ph", "pass-999999")))


def approve_a_forgery(run: Run) -> None:
    run.accepted[0] = replace(run.accepted[0], decision="reject")


def mix_up_contexts(run: Run) -> None:
    run.received = [received(DONE, context={"application": 2})]


def deliver_other_bytes(run: Run) -> None:
    run.injected = [killed(2500)]
    run.received.append(received(DONE, T0 + 3000, polls=2))


def deliver_twice_without_a_crash(run: Run) -> None:
    run.injected = [killed(60_000)]
    run.received.append(received(DONE, T0 + 3000))


def deliver_twice_after_the_death_of_another(run: Run) -> None:
    run.injected = [killed(2500, pid=SENDER + 1)]
    run.received.append(received(DONE, T0 + 9000))


def deliver_twice_long_before_the_crash(run: Run) -> None:
    run.injected = [killed(20_000)]
    run.received.append(received(DONE, T0 + 30_000))


def deliver_more_often_than_there_were_crashes(run: Run) -> None:
    run.injected = [killed(2500)]
    run.received += [received(DONE, T0 + 3000), received(DONE, T0 + 3100)]


def keep_half_of_the_evidence(run: Run) -> None:
    run.state.evidence[DONE] = ["back.jpg is missing"]


def keep_no_evidence(run: Run) -> None:
    del run.state.evidence[DONE]


def leave_a_trace_in_a_set(run: Run) -> None:
    run.state.records[DONE] = replace(run.state.records[DONE], places=("due:polling",))


def settle_twice(run: Run) -> None:
    record = run.state.records[DONE]
    events = timeline((1000, "settled"), (1100, "settled"), (1500, "archived"), (1700, "delivered"))
    run.state.records[DONE] = replace(record, timeline=events)


def count_a_delivery_twice(run: Run) -> None:
    run.state.counters["ph"]["decision:approve"] = 2


def miss_a_poll(run: Run) -> None:
    run.state.counters["ph"]["polls"] = 0


def leave_a_lease(run: Run) -> None:
    run.state.sets["ph"] = {"leased": 1}


def never_finish(run: Run) -> None:
    run.finished_s = None


def hang_at_work(run: Run) -> None:
    run.doing = {"w0": [{"id": "1"}]}


def fall_silent(run: Run) -> None:
    run.doing = {"w0": None}


def desert(run: Run) -> None:
    run.deserters = ["w0"]


def ignore_sigterm(run: Run) -> None:
    run.exit_codes = {"w0": None}


def lie_for_a_minute(run: Run) -> None:
    run.injected = [killed(100)]
    run.state.records[DONE] = replace(
        run.state.records[DONE],
        timeline=timeline(
            (5000, "lease_expired"), (61_000, "settled"), (61_500, "archived"), (61_700, "delivered")
        ),
    )
    run.state.deeds[DONE] = steps((BEGUN, 0), (CLAIMED, 61_000), (BEGUN, 61_000))


def lie_for_forty_seconds_in_nobodys_hands(run: Run) -> None:
    """Nobody looked for ended leases: the note of it comes late, and the next lease at once."""
    run.injected = [killed(100), killed(39_000)]
    run.state.records[DONE] = replace(
        run.state.records[DONE],
        timeline=timeline(
            (40_100, "lease_expired"), (40_500, "settled"), (40_600, "archived"), (40_700, "delivered")
        ),
    )
    run.state.deeds[DONE] = steps((CLAIMED, -700), (BEGUN, 0), (CLAIMED, 40_100), (BEGUN, 40_500))


def never_be_taken_up(run: Run) -> None:
    run.state.records[BAD] = replace(run.state.records[BAD], timeline=timeline((5000, "lease_expired")))
    run.state.deeds[BAD] = steps((CLAIMED, 0))


def strike_at_nothing(run: Run) -> None:
    run.injected = [Injected(Strike(1.0, "redelivery", for_s=4.0), Span(T0, T0 + 4000))]


def kill_who_was_still_starting(run: Run) -> None:
    run.profile = replace(run.profile, least_kills=2)
    run.injected = [killed(100), replace(killed(200), ready=False)]


def spare_the_answers(run: Run) -> None:
    run.usual = Tally(1000, 140)


def answer_nothing(run: Run) -> None:
    run.usual = Tally()


def leak(run: Run) -> None:
    run.state.leaks = ["w0.log"]


def log_nothing(run: Run) -> None:
    run.state.logged = {}


def damage_the_log(run: Run) -> None:
    run.log_findings = ["truncated: log/ph/checkpoint has 2 entries, and the commits 1"]


def leave_the_log_behind(run: Run) -> None:
    run.log_pending = True


def forget(run: Run) -> None:
    run.lost_writes = 1


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (log_nothing, "ph/pass-000001 is decided, and not in the log"),
        (damage_the_log, "truncated: log/ph/checkpoint"),
        (leave_the_log_behind, "still wait to be logged"),
        (lose_the_decision, "has no decision and is not in quarantine"),
        (lose_the_record, "the ledger does not know it"),
        (quarantine_without_reason, "without a reason"),
        (quarantine_the_innocent, "for UNREADABLE, and should be decided as approve"),
        (quarantine_nearly_all, "1 were decided, and at least 3 must be"),
        (decide_what_is_in_quarantine, "is in quarantine and was decided"),
        (tell_of_a_stranger, "which was never enqueued"),
        (approve_a_forgery, "was decided as approve, not as reject"),
        (mix_up_contexts, "another context"),
        (deliver_other_bytes, "was delivered twice, with different bytes"),
        (deliver_twice_without_a_crash, "no fault had kept the first from being recorded"),
        (deliver_twice_after_the_death_of_another, "no fault had kept the first from being recorded"),
        (deliver_twice_long_before_the_crash, "no fault had kept the first from being recorded"),
        (deliver_more_often_than_there_were_crashes, "2 second deliveries after 1 crashes"),
        (keep_half_of_the_evidence, "back.jpg is missing"),
        (keep_no_evidence, "there is none"),
        (leave_a_trace_in_a_set, "done, and in due:polling"),
        (settle_twice, "settled 2 times"),
        (count_a_delivery_twice, "the counter decision:approve is 2, there are 1"),
        (miss_a_poll, "the counter polls is 0"),
        (leave_a_lease, "1 in leased"),
        (never_finish, "was not done after"),
        (hang_at_work, "still at work on 1 tasks"),
        (fall_silent, "did not answer"),
        (desert, "ended unexpectedly"),
        (ignore_sigterm, "did not end after SIGTERM"),
        (lie_for_a_minute, "was delayed for 60.9 s after worker_killed"),
        (lie_for_forty_seconds_in_nobodys_hands, "was delayed for 40.4 s after worker_killed"),
        (never_be_taken_up, "was never started again"),
        (strike_at_nothing, "redelivery touched no verification"),
        (kill_who_was_still_starting, "1 ready workers were killed, and at least 2 must be"),
        (spare_the_answers, "140 of 1000 answers outside of outages were faults"),
        (answer_nothing, "0 of 0 answers"),
        (leak, "w0.log has personal data in it"),
        (forget, "1 writes that Valkey had acknowledged"),
    ],
)
def test_what_goes_wrong_is_found(run: Run, spoil: Callable[[Run], None], says: str) -> None:
    spoil(run)
    assert [line for line in red(run) if says in line], red(run)
    assert "run is red" in page(run, check(run), "command")


def test_a_second_delivery_after_a_crash_is_no_fault(run: Run) -> None:
    run.injected = [killed(2500)]
    run.received.append(received(DONE, T0 + 9000))
    assert red(run) == []


def test_a_second_delivery_after_valkey_was_away_is_no_fault_whoever_sent_it(run: Run) -> None:
    strike, span = Strike(1.0, "valkey_frozen", for_s=6.0), Span(T0 + 1000, T0 + 7000)
    run.injected = [Injected(strike, span, {DONE})]
    run.received.append(received(DONE, T0 + 9000))
    assert red(run) == []


def crashed(run: Run, *events: tuple[int, str], again_ms: int) -> Run:
    """The first verification's holder was killed 100 ms in, 1 s after its lease of 5 s began; then another had it."""
    run.injected = [killed(100)]
    run.state.records[DONE] = replace(run.state.records[DONE], timeline=timeline(*events))
    run.state.deeds[DONE] = steps(
        (CLAIMED, -2100),
        (BEGUN, -2000),
        (RENEWED, -900),
        (CLAIMED, again_ms - 300),
        (BEGUN, again_ms),
        (RENEWED, again_ms + 400),
    )
    return run


def test_a_delay_runs_from_the_kill_until_another_begins_the_verification(run: Run) -> None:
    crashed(run, (4200, "lease_expired"), (9000, "settled"), again_ms=4600)
    (delay,) = delays(run)
    assert delay.delay_s == pytest.approx(4.5)
    assert delay.after == "worker_killed"
    assert touched(run, [delay]) == [{DONE}]


def test_a_delay_does_not_count_the_time_for_which_valkey_was_away_or_the_region_rested(run: Run) -> None:
    crashed(run, (4200, "lease_expired"), (10_200, "settled"), again_ms=10_100)
    run.injected.append(
        Injected(Strike(1.0, "valkey_frozen", for_s=2.0), Span(T0 + 1000, T0 + 3000), {DONE}),
    )
    run.sights.holds["ph"] = [Span(T0 + 2500, T0 + 7000), Span(T0 + 20_000, T0 + 30_000)]
    (delay,) = delays(run)
    assert delay.delay_s == pytest.approx(10.0 - 6.0)


def test_a_delay_does_not_count_the_time_after_its_lease_for_which_only_a_probe_was_polled(run: Run) -> None:
    """Before that it counts: the probe itself may have been in the dead worker's hands."""
    crashed(run, (4200, "lease_expired"), (10_200, "settled"), again_ms=10_100)
    run.sights.half_open["ph"] = [Span(T0 + 1000, T0 + 9200)]
    (delay,) = delays(run)
    assert delay.delay_s == pytest.approx(10.0 - 5.0)


def test_a_lease_that_nobody_looked_at_is_not_taken_for_an_older_one(run: Run) -> None:
    """It began long after a crash that cut off another, ended at the next one, and was taken up in the same moment."""
    crashed(run, (4100, "lease_expired"), (5000, "fault"), (36_000, "lease_expired"), again_ms=4100)
    run.injected.append(killed(30_500))
    run.state.deeds[DONE] += steps((CLAIMED, 30_000), (BEGUN, 30_000), (CLAIMED, 36_000), (BEGUN, 36_000))
    assert [round(delay.delay_s or 0, 1) for delay in delays(run)] == [4.0, 5.5]


def test_what_was_done_is_read_from_valkeys_own_file_whoever_looks(tmp_path: Path) -> None:
    """A claim and a batch that begins are told apart by the holder, and a renewal by none."""
    (tmp_path / "appendonlydir").mkdir()
    commands = (
        ("SELECT", "0"),
        ("HSET", "ekyc:{ph}:v:one", "s", "polling", "e", "400"),
        ("ZADD", "ekyc:{ph}:due:polling", "400", "one"),
        ("HSET", "ekyc:{ph}:v:one", "b", "12p"),
        ("ZADD", "ekyc:{ph}:leased", "5500", "one"),
        ("HSET", "ekyc:{ph}:v:two", "b", "12p/polling/41@host"),
        ("HSET", "ekyc:{ph}:v:one", "b", "12p/polling/41@host"),
        ("HSET", "ekyc:{ph}:counts", "b", "12p"),
        ("ZADD", "ekyc:{ph}:leased", "6000", "one", "6000", "two"),
        ("SET", "ekyc:{ph}:suspect", "ZADD\r\nekyc:{ph}:leased"),
        ("ZADD", "ekyc:{sg}:leased", "6000", "one"),
        ("zadd", "ekyc:{ph}:leased", "9500", "one"),
        ("ZADD", "ekyc:{ph}:due:archiving:a_shop-1", "9600", "one"),
        ("ZADD", "ekyc:{ph}:due:webhook:a_shop", "9700", "one"),
    )
    words = [
        f"*{len(command)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in command)
        for command in commands
    ]
    file = tmp_path / "appendonlydir/appendonly.aof.1.incr.aof"
    file.write_bytes("".join(words).encode())
    assert deeds(tmp_path, 5000) == {
        ("ph", "one"): [
            Deed(400, DUE, "polling"),
            Deed(500, CLAIMED),
            Deed(1000, BEGUN),
            Deed(4500, RENEWED),
            Deed(9600, DUE, "archiving"),
        ],
        ("ph", "two"): [Deed(1000, BEGUN)],
        ("sg", "one"): [Deed(1000, RENEWED)],
    }
    file.write_bytes(b"REDIS0011")
    with pytest.raises(ValueError, match="does not read as Redis's protocol"):
        deeds(tmp_path, 5000)


def test_a_lease_that_ends_though_nothing_had_crashed_is_told_apart(run: Run) -> None:
    crashed(run, (4200, "lease_expired"), (9000, "settled"), again_ms=4200)
    run.injected = [killed(-20_000), killed(8000)]
    (delay,) = delays(run)
    assert delay.crashes == ()
    assert "1 expired without any fault" in page(run, check(run), "command")
    assert unexplained(run)


def unexplained(run: Run) -> list[str]:
    return [line for line in red(run) if "that no fault explains" in line]


def test_the_death_of_another_explains_nothing_where_somebody_had_begun(run: Run) -> None:
    crashed(run, (4200, "lease_expired"), (9000, "settled"), again_ms=4200)
    assert not unexplained(run)
    run.injected = [killed(100, pid=SENDER + 1)]
    assert unexplained(run)


def test_a_lease_that_ends_while_messages_come_again_or_the_machine_stands_still_is_explained(
    run: Run,
) -> None:
    crashed(run, (4200, "lease_expired"), (9000, "settled"), again_ms=4200)
    run.injected = [Injected(Strike(1.0, "redelivery", for_s=4.0), Span(T0, T0 + 4000), {DONE})]
    assert not unexplained(run)
    run.injected = []
    assert unexplained(run)
    run.sights.stalls = [Span(T0 + 1000, T0 + 3000)]
    assert not unexplained(run)


#: A lease of 20 s, begun at 0 and ended by a kill at 100; what was claimed after it, and when that ended.
LAPSES = (20_000, 40_000, 60_000, 80_000)


def lapsed(run: Run, times: int) -> Run:
    """Killed once, re-claimed as soon as the lease has ended, and the message of that lost, again and again."""
    run.profile = replace(LONG, verifications=1, least_kills=0)
    run.injected = [killed(100)]
    ended = LAPSES[:times]
    moments = [
        Moment(T0 + at_ms, "lease_expired", "polling", "" if number else f"{SENDER}@host")
        for number, at_ms in enumerate(ended)
    ]
    rest = timeline((81_000, "settled"), (81_500, "archived"), (81_700, "delivered"))
    run.state.records[DONE] = replace(run.state.records[DONE], timeline=(*moments, *rest))
    claims = [(CLAIMED, at_ms) for at_ms in ended]
    run.state.deeds[DONE] = steps((CLAIMED, -50), (BEGUN, 0), *claims, (BEGUN, ended[-1] + 200))
    return run


def test_a_claim_that_nobody_begins_ends_no_delay(run: Run) -> None:
    (delay,) = delays(lapsed(run, 4))
    assert delay.delay_s == pytest.approx(80.1)
    assert delay.unexplained == 3
    assert [line for line in red(run) if "was delayed for 80.1 s after worker_killed" in line]
    assert unexplained(run)


def test_a_message_that_is_lost_once_after_a_crash_without_a_fault_of_its_own_breaks_the_promise(
    run: Run,
) -> None:
    lapsed(run, 2)
    assert [line for line in red(run) if "was delayed for 40.1 s after worker_killed" in line]


@pytest.mark.parametrize(("at_ms", "explains"), [(19_500, True), (29_000, True), (31_000, False)])
def test_a_death_explains_a_lost_message_only_soon_after_its_claim(
    run: Run, at_ms: int, *, explains: bool
) -> None:
    """Somebody dies all the time in a long run, and most of them have nothing to do with it."""
    lapsed(run, 2).injected.append(killed(at_ms, pid=SENDER + 1))
    assert bool(unexplained(run)) is not explains
    assert len(delays(run)) == 1 + explains


def test_a_further_fault_excuses_one_more_lease_and_the_whole_way_is_said(run: Run) -> None:
    """The queue was flushed in the moment in which the killed worker's work was claimed again."""
    lapsed(run, 2)
    flush = Strike(1.0, "queue_flushed", for_s=3.0)
    run.injected.append(Injected(flush, Span(T0 + 19_500, T0 + 22_500), {DONE}))
    first, second = delays(run)
    assert [first.delay_s, second.delay_s] == pytest.approx([19.9, 20.2])
    assert [first.cut_off, second.cut_off] == [True, False]
    assert second.after == "queue_flushed"
    assert longest_way([first, second]) == pytest.approx(40.1)
    assert red(run) == []
    lapsed(run, 3).injected.append(Injected(flush, Span(T0 + 19_500, T0 + 22_500), {DONE}))
    assert [line for line in red(run) if "was delayed for 40.2 s after queue_flushed" in line]


def test_how_long_something_was_due_is_told_without_the_rests_and_trials_of_its_region(run: Run) -> None:
    run.state.deeds[DONE] = steps((DUE, 0), (DUE, 500), (CLAIMED, 40_000), (BEGUN, 40_100), (DUE, 90_000))
    assert longest_due(run) == pytest.approx(40.0)
    run.sights.holds["ph"] = [Span(T0 - 1000, T0 + 10_000)]
    run.sights.half_open["ph"] = [Span(T0 + 10_000, T0 + 15_000)]
    run.injected = [Injected(Strike(1.0, "valkey_killed"), Span(T0 + 20_000, T0 + 21_000), {DONE})]
    assert longest_due(run) == pytest.approx(24.0)


def test_the_report_names_the_commit(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where there is no repository it says nothing of one."""
    monkeypatch.setattr("tests.chaos.report.ROOT", tmp_path)
    assert "`command`: seed 1" in page(run, check(run), "command")
    repository = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e"]
    for command in (("init",), ("commit", "--allow-empty", "-m", "first")):
        subprocess.run([*repository, *command], check=True, capture_output=True)
    assert re.search(r"`command` at commit [0-9a-f]{7,}: seed 1", page(run, check(run), "command"))
    (tmp_path / "new").touch()
    subprocess.run([*repository, "add", "new"], check=True)
    assert re.search(r"at commit [0-9a-f]{7,} \+ changes: seed 1", page(run, check(run), "command"))


@pytest.mark.parametrize(
    ("noticed", "stage", "begun_at", "found"),
    [
        (True, "polling", 1500, {DONE}),
        (True, "archiving", 1500, {DONE}),
        # To route a decision needs no evidence.
        (True, "routing", 1500, set()),
        (True, "polling", 900, set()),
        (True, "polling", 9100, set()),
        # No worker noticed the outage.
        (False, "polling", 1500, set()),
    ],
)
def test_an_outage_of_the_evidence_touches_what_waits_without_a_fault(
    run: Run, noticed: bool, stage: str, begun_at: int, found: set[tuple[str, str]]
) -> None:
    run.state.deeds = {
        DONE: [Deed(T0 + 800, DUE, stage), Deed(T0 + 850, CLAIMED), Deed(T0 + begun_at, BEGUN)]
    }
    run.injected = [Injected(Strike(1.0, "evidence_fails", 8.0), Span(T0 + 1000, T0 + 9000), noticed=noticed)]
    assert touched(run, []) == [found]
