"""How long evidence is kept: the setting, the defaults with their sources, and the calendar."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.enqueue_request import REGIONS
from worker.errors import ConfigError
from worker.policy.retention import (
    LONGEST,
    NO_ACCOUNT,
    SOURCES,
    UNDECIDED,
    Clock,
    Period,
    load,
    parse,
)

DECIDED = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)


def rule(text: str, region: str, decision: str) -> str:
    return str(parse(text).rule(region, decision))


def test_the_defaults_are_what_the_laws_ask_for() -> None:
    assert SOURCES.keys() == {*REGIONS}
    periods = {region: str(source.period) for region, source in SOURCES.items()}
    assert periods == dict.fromkeys(REGIONS, "5y") | {"my": "6y"}
    assert all(source.law and source.says and source.url for source in SOURCES.values())


@pytest.mark.parametrize("decision", sorted(NO_ACCOUNT | {UNDECIDED}))
def test_without_an_account_the_clock_starts_at_the_decision(decision: str) -> None:
    assert parse("").rule("sg", decision).clock is Clock.DECIDED


@pytest.mark.parametrize("decision", ["approve", "review", "of_my_own_table"])
def test_where_an_account_may_exist_the_clock_starts_when_it_is_closed(decision: str) -> None:
    assert parse("").rule("sg", decision).clock is Clock.CLOSED


@pytest.mark.parametrize(
    ("region", "decision", "expected"),
    [
        ("sg", "reject", "2y@closed"),
        ("sg", "approve", "7y@closed"),
        ("ph", "reject", "18m@decided"),
        ("ph", "approve", "90d@decided"),
        ("my", "approve", "6y@closed"),
        ("vn", "review", "90d@decided"),
        ("global", "reject", "never@decided"),
    ],
)
def test_the_most_specific_entry_counts(region: str, decision: str, expected: str) -> None:
    text = "sg/reject=2y@closed, sg=7y, */reject=18m,*=90d@decided\nmy=6y@closed,id/reject=never"
    assert rule(text, region, decision) == expected


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("my", "entry 1: write <region>"),
        ("my=6", "entry 1: write <region>"),
        ("my=6y,sg=0y", "entry 2: write <region>"),
        ("my=-1y", "entry 1: write <region>"),
        ("my=6y@later", "entry 1: the clock is decided or closed"),
        ("zz=6y", "entry 1: "),
        ("my/Approve=6y", "entry 1: write <region>"),
        ("my=101y", "entry 1: a period is at most 100y"),
        ("my=6y,my=7y", "entry 2: my is given twice"),
        ("id=5y,global=5y", "entry 2: global is given twice"),
        ("my/*=6y,my=7y", "entry 2: my is given twice"),
        ("*/reject=1y,*/reject=1y", r"entry 2: \*/reject is given twice"),
        ("x" * (LONGEST + 1), "must be at most 4000"),
        (",".join(f"my/d{number}=1y" for number in range(101)), "must have at most 100 entries"),
    ],
)
def test_a_fault_is_one_line_that_names_the_entry(text: str, fault: str) -> None:
    with pytest.raises(ConfigError, match=f"^EKYC_RETAIN: {fault}") as raised:
        load(text)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("start", "period", "expected"),
    [
        ((2026, 11, 30), Period(months=60), (2031, 11, 30)),
        ((2024, 2, 29), Period(months=60), (2029, 3, 1)),
        ((2024, 2, 29), Period(months=48), (2028, 2, 29)),
        ((2026, 8, 31), Period(months=6), (2027, 3, 1)),
        ((2026, 10, 31), Period(months=1), (2026, 12, 1)),
        ((2026, 12, 31), Period(months=12), (2027, 12, 31)),
        ((2026, 12, 31), Period(days=1), (2027, 1, 1)),
    ],
)
def test_a_period_is_at_least_as_long_as_the_calendar_says(
    start: tuple[int, int, int], period: Period, expected: tuple[int, int, int]
) -> None:
    assert period.after(datetime(*start, 8, 30, tzinfo=UTC)) == datetime(*expected, 8, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "period", [Period(months=24), Period(months=13), Period(days=366), Period(days=36_600)]
)
def test_a_period_that_ends_after_the_calendar_has_no_end(period: Period) -> None:
    for start in (datetime(9998, 12, 31, tzinfo=UTC), datetime.max.replace(tzinfo=UTC)):
        assert period.after(start) is None
    assert Period(days=365).after(datetime(9998, 12, 31, tzinfo=UTC)) == datetime(9999, 12, 31, tzinfo=UTC)


def test_a_closing_time_starts_or_delays_the_clock_and_never_shortens_the_period() -> None:
    rules = parse("sg/approve=5y@closed,sg/reject=5y@decided,ph=never")
    closed = DECIDED + timedelta(days=365)
    assert rules.until("sg", "approve", decided=DECIDED) is None
    assert rules.until("sg", "approve", decided=DECIDED, closed=closed) == datetime(
        2032, 11, 30, 12, tzinfo=UTC
    )
    # An account cannot end before it was decided that it may begin.
    early = DECIDED - timedelta(days=365)
    assert rules.until("sg", "approve", decided=DECIDED, closed=early) == datetime(
        2031, 11, 30, 12, tzinfo=UTC
    )
    assert rules.until("sg", "reject", decided=DECIDED) == datetime(2031, 11, 30, 12, tzinfo=UTC)
    assert rules.until("sg", "reject", decided=DECIDED, closed=closed) == datetime(
        2032, 11, 30, 12, tzinfo=UTC
    )
    assert rules.until("ph", "reject", decided=DECIDED, closed=closed) is None


def test_a_moment_of_another_zone_counts_in_utc() -> None:
    decided = datetime(2026, 12, 1, 2, tzinfo=timezone(timedelta(hours=8)))
    assert parse("").until("sg", "reject", decided=decided) == datetime(2031, 11, 30, 18, tzinfo=UTC)


def test_a_period_that_is_shorter_than_the_law_says_so() -> None:
    assert list(parse("").shorter()) == []
    assert list(parse("*=5y,my=6y").shorter()) == []
    assert list(parse("*=never").shorter()) == []
    lines = list(parse("*=5y,sg/recapture=30d").shorter())
    assert [line.split(" is ")[0] for line in lines] == [
        "sg/recapture",
        "my/approve",
        "my/recapture",
        "my/reject",
    ]
    assert "section 17" in lines[-1]


@given(
    st.datetimes(datetime(2000, 1, 1), datetime(2400, 1, 1)),  # noqa: DTZ001 - strategies take naive bounds
    st.integers(1, 1200),
)
def test_a_period_never_ends_early(start: datetime, months: int) -> None:
    start = start.replace(tzinfo=UTC)
    end = Period(months=months).after(start)
    assert end is not None
    whole = (end.year - start.year) * 12 + end.month - start.month
    assert whole >= months
    assert (end - start).days <= months * 31 + 1
    longer = Period(months=months + 1).after(start)
    assert longer is not None
    assert longer > end


@given(st.text(alphabet="*abgiyml/=@,0123456789 _dcv", max_size=40))
def test_no_text_raises_anything_but_a_line(text: str) -> None:
    faults: list[str] = []
    try:
        parse(text)
    except ValueError as error:
        faults.append(str(error))
    assert not any("\n" in fault for fault in faults)


def test_reading_takes_time_linear_in_the_text() -> None:
    times = []
    for size in (1, 2, 4, 8):
        text = ("a" * 480 * size)[:LONGEST]
        began = time.thread_time()
        for _ in range(50):
            with pytest.raises(ValueError, match="entry 1"):
                parse(text)
        times.append(time.thread_time() - began)
    assert times[-1] < 80 * max(times[0], 0.001)
