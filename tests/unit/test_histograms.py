"""Histograms as counters: whatever is counted can be read again."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.ledger.histograms import ENQUEUED_TO_DECIDED, PREFIX, SETTLED_TO_DECIDED, VENDOR_CALL, Timing

ALL = [VENDOR_CALL, ENQUEUED_TO_DECIDED, SETTLED_TO_DECIDED]
each_timing = pytest.mark.parametrize("timing", ALL, ids=[timing.name for timing in ALL])


def counted(timing: Timing, times_s: list[float]) -> dict[str, int]:
    counters: Counter[str] = Counter()
    for took_s in times_s:
        counters.update(timing.counters(took_s))
    return {name.removeprefix(PREFIX): count for name, count in counters.items()}


@each_timing
@given(times_s=st.lists(st.floats(min_value=0, max_value=200_000)))
def test_each_bucket_has_what_took_no_longer_and_the_sum_is_that_of_all(
    timing: Timing, times_s: list[float]
) -> None:
    """To the millisecond, which is the ledger's."""
    times_ms = [round(took_s * 1000) for took_s in times_s]
    read = timing.read(counted(timing, times_s))
    assert [bound for bound, _ in read.buckets] == [*timing.bounds_s, float("inf")]
    for bound_s, count in read.buckets:
        assert count == sum(took_ms / 1000 <= bound_s for took_ms in times_ms)
    assert read.sum_s == pytest.approx(sum(times_ms) / 1000)


@each_timing
def test_however_much_is_counted_the_counters_are_few(timing: Timing) -> None:
    times_s = [number * 0.01 for number in range(1000)] + [2.0**power for power in range(24)]
    assert len(counted(timing, times_s)) == len(timing.bounds_s) + 2
    assert list(timing.bounds_s) == sorted(set(timing.bounds_s))


def test_a_clock_that_was_set_back_counts_as_no_time_at_all() -> None:
    read = VENDOR_CALL.read(counted(VENDOR_CALL, [-3.0]))
    assert (read.buckets[0][1], read.sum_s) == (1, 0)


def test_nothing_counted_is_nothing_everywhere() -> None:
    read = SETTLED_TO_DECIDED.read({})
    assert ({count for _, count in read.buckets}, read.sum_s) == ({0}, 0)
