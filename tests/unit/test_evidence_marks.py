"""The marks beside the evidence: what is written is read, and nothing else is taken for a mark."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.evidence.marks import (
    MAX_BYTES,
    Act,
    ErasurePlan,
    LegalHold,
    LegalHolds,
    StoredObject,
    dump_closed,
    dump_holds,
    dump_plan,
    load_closed,
    load_holds,
    load_plan,
)

AT = datetime(2027, 1, 31, 9, 0, 0, 123_000, tzinfo=UTC)
PLACED, RELEASED = Act(AT, "judge", "case 7"), Act(AT + timedelta(days=9), "maria", "over")


def test_what_is_written_is_read() -> None:
    assert load_closed(dump_closed(AT)) == AT
    assert load_closed(dump_closed(AT.astimezone(timezone(timedelta(hours=8))))) == AT
    holds = LegalHolds((LegalHold(PLACED, RELEASED), LegalHold(PLACED)))
    assert load_holds(dump_holds(holds)) == holds
    objects = (StoredObject("answer.json", 12), StoredObject("front.jpg", 9, AT))
    for plan in (ErasurePlan(PLACED, "9f", objects), ErasurePlan(PLACED, None, ())):
        assert load_plan(dump_plan(plan)) == plan


def test_each_matter_has_its_hold_and_all_stay_on_record() -> None:
    none = LegalHolds()
    assert none.in_force is None
    assert none.releasing(RELEASED) == none
    held = none.placing(PLACED)
    assert held.in_force == LegalHold(PLACED)
    assert held.placing(PLACED) == held
    another = Act(AT, "another", "case 8")
    both = held.placing(another)
    assert (both.in_force, both.all_in_force) == (LegalHold(another), (LegalHold(PLACED), LegalHold(another)))
    assert both.releasing(RELEASED).holds == (LegalHold(PLACED, RELEASED), LegalHold(another, RELEASED))
    # Of a release that kept the order only: an older hold that is in force counts.
    assert LegalHolds((LegalHold(PLACED), LegalHold(another, RELEASED))).in_force == LegalHold(PLACED)
    released = held.releasing(RELEASED)
    assert released.in_force is None
    again = released.placing(PLACED)
    assert again.holds == (LegalHold(PLACED, RELEASED), LegalHold(PLACED))
    assert again.in_force == LegalHold(PLACED)


@pytest.mark.parametrize("load", [load_closed, load_holds, load_plan])
@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b"\xff",
        b'{"version":2}',
        b'{"version":1}',
        b'{"version":1,"at":"2027-01-31T09:00:00"}',
        b'{"version":1,"at":7,"holds":7,"objects":7}',
        b'{"version":1,"at":"now","who":"x","why":"y","data_key":null,"objects":[[1,2,3]],"holds":["x",{}]}',
        b"[" * 100_000,
        b'{"version":1,"at":"' + b"9" * MAX_BYTES + b'"}',
    ],
)
def test_anything_else_is_refused_without_quoting_it(load: object, raw: bytes) -> None:
    assert callable(load)
    with pytest.raises(ValueError, match=r"^[A-Za-z_ ]+( 1)?$"):
        load(raw)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(raw: bytes) -> None:
    for load in (load_closed, load_holds, load_plan):
        with pytest.raises(ValueError, match=r"^[a-z]"):
            load(raw)


def test_reading_takes_time_linear_in_the_size() -> None:
    times = []
    for size in (1, 2, 4, 8):
        objects = tuple(StoredObject(f"unreadable-{number:016}.bin", number) for number in range(200 * size))
        raw = dump_plan(ErasurePlan(PLACED, None, objects))
        began = time.thread_time()
        for _ in range(5):
            load_plan(raw)
        times.append(time.thread_time() - began)
    assert times[-1] < 80 * max(times[0], 0.001)


@pytest.mark.parametrize("text", ["\x1b[2K", "\x07", "\u202e", "a\nb"])
def test_what_a_terminal_would_obey_is_no_act(text: str) -> None:
    for act in (Act(AT, text, "why"), Act(AT, "who", text)):
        for dump, load in (
            (dump_holds(LegalHolds((LegalHold(act),))), load_holds),
            (dump_holds(LegalHolds((LegalHold(PLACED, act),))), load_holds),
            (dump_plan(ErasurePlan(act, None, ())), load_plan),
        ):
            with pytest.raises(ValueError, match="cannot be shown"):
                load(dump)
