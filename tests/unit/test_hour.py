"""The last hour in figures: what the lines of the ledger say about each minute."""

from __future__ import annotations

import math
import random
import time
from typing import Any

import pytest

from worker.ledger.histograms import Distribution, Timing
from worker.ledger.hour import MINUTES, Hour, Line
from worker.ledger.models import Counts

MINUTE = 60_000
NOW = 30_000_000 * MINUTE + 20_000
SHORT = Timing("short", (1.0, 2.0, 10.0))


def line(back: float, *, enqueued: int = 0, polls: int = 0, decided: int = 0, took: str = "") -> bytes:
    """A line of so many minutes ago."""
    return f"{NOW - round(back * MINUTE)}|{enqueued}|{polls}|{decided}|0|{took}".encode()


def counts(**figures: Any) -> Counts:
    return Counts(read_at_ms=NOW, **figures)


def test_the_growth_between_two_lines_belongs_to_the_minute_between_them() -> None:
    hour = Hour.of(
        [line(3, polls=10), line(2, polls=14), line(1, polls=14), line(0, polls=21)], counts(polls=22)
    )
    rates = hour.per_minute(lambda line: line.polls)
    assert rates[:-3] == (None,) * (MINUTES - 3)
    assert rates[-3:] == (4, 0, 7)
    assert hour.growth(lambda line: line.polls) == 12
    assert hour.covers_s == 180


def test_a_minute_without_a_line_gets_its_part_of_what_happened_around_it() -> None:
    hour = Hour.of([line(5, enqueued=0), line(2, enqueued=9)], counts(enqueued=11))
    assert hour.per_minute(lambda line: line.enqueued)[-6:] == (None, 3, 3, 3, 1, 1)


def test_counters_that_began_again_grow_by_nothing() -> None:
    hour = Hour.of([line(2, polls=100), line(1, polls=3)], counts(polls=5))
    assert hour.per_minute(lambda line: line.polls)[-2:] == (0, 2)
    assert hour.growth(lambda line: line.polls) == 2


def test_what_is_older_than_the_hour_or_later_than_now_does_not_count() -> None:
    lines = [line(500, polls=1), line(60, polls=2), line(-3, polls=50)]
    hour = Hour.of(lines, counts(polls=2))
    assert hour.growth(lambda line: line.polls) == 0
    assert hour.per_minute(lambda line: line.polls) == (0,) * MINUTES


def test_without_a_line_nothing_is_known() -> None:
    hour = Hour.of([], counts(polls=5))
    assert hour.per_minute(lambda line: line.polls) == (None,) * MINUTES
    assert (hour.growth(lambda line: line.polls), hour.delay(SHORT), hour.covers_s) == (0, None, 0)


@pytest.mark.parametrize(
    "text", [b"", b"|||||", b"1|2|3|4", b"x|1|1|1|1|", b"1|1|1|1|99999999999999999999|", b"-1|0|0|0|0|"]
)
def test_a_line_of_another_form_is_left_out(text: bytes) -> None:
    assert Line.read(text) is None


def test_a_line_has_its_counters() -> None:
    assert Line.read(b"5|1|2|3|4|short:1=7 short:inf=2 odd nonsense= =3 short:2=x\xff") == Line(
        5, 1, 2, 3, 4, {"short:1": 7, "short:inf": 2, "": 3}
    )


def test_delays_are_of_each_minute_and_of_the_whole_hour() -> None:
    hour = Hour.of(
        [line(2, took="short:1=5"), line(1, took="short:1=5 short:2=2"), line(0, took="short:1=5 short:2=2")],
        Counts(read_at_ms=NOW, took={"short:1": 5, "short:2": 2}),
    )
    first, second = hour.delays(SHORT)[-2:]
    assert first is not None
    assert (first.median_s, first.count) == (1.5, 2)
    assert second is None
    whole = hour.delay(SHORT)
    assert whole is not None
    assert (whole.median_s, whole.count) == (1.5, 2)
    assert whole.most_s == pytest.approx(1.95)


def test_a_quantile_is_within_the_bucket_of_the_exact_one() -> None:
    chance = random.Random(1)
    bounds = (0.1, 0.5, 1.0, 5.0, 30.0)
    timing = Timing("any", bounds)
    for _ in range(50):
        values = sorted(chance.choice((0.05, 0.3, 0.9, 3.0, 20.0)) for _ in range(chance.randint(1, 40)))
        counted: dict[str, int] = {}
        for value in values:
            for name, number in timing.counters(value).items():
                short = name.removeprefix("took:")
                counted[short] = counted.get(short, 0) + number
        spread = timing.read(counted)
        for share in (0.5, 0.95, 1.0):
            exact = values[math.ceil(share * len(values)) - 1]
            found = spread.quantile(share)
            assert found is not None
            bucket = next(number for number, bound in enumerate(bounds) if exact <= bound)
            assert (0.0, *bounds)[bucket] <= found <= bounds[bucket]


def test_above_the_last_bound_a_quantile_is_that_bound() -> None:
    assert Distribution(((1.0, 0), (2.0, 0), (float("inf"), 3)), 99.0).quantile(0.5) == 2.0
    assert Distribution(((1.0, 0), (float("inf"), 0)), 0.0).quantile(0.5) is None


def test_lines_that_are_too_long_cost_time_in_proportion() -> None:
    def took(size: int) -> float:
        began = time.thread_time()
        Line.read(b"1|1|1|1|1|" + b"short:1=2 " * size)
        Line.read(b"1|" * size)
        return time.thread_time() - began

    # Ten times off.
    assert took(80_000) < 80 * max(took(10_000), 1e-3)
