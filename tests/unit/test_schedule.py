"""Countdowns: exponential, capped, with full jitter."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from worker.schedule import Backoff, Backoffs
from worker.settings import Settings


def test_a_countdown_grows_by_its_factor_up_to_its_cap() -> None:
    backoff = Backoff(first_s=2, factor=2, cap_s=600)
    assert [backoff.ceiling_s(attempt) for attempt in (0, 1, 2, 8, 9, 10)] == [2, 4, 8, 512, 600, 600]


@given(
    attempt=st.integers(0, 10_000),
    first_s=st.floats(0.1, 60),
    factor=st.floats(1, 10),
    cap_s=st.floats(1, 3600),
    seed=st.integers(),
)
def test_full_jitter_stays_between_zero_and_the_ceiling(
    attempt: int, first_s: float, factor: float, cap_s: float, seed: int
) -> None:
    backoff = Backoff(first_s, factor, cap_s)
    assert 0 <= backoff.countdown_s(attempt, Random(seed)) <= backoff.ceiling_s(attempt) <= cap_s


def test_full_jitter_spreads_evenly() -> None:
    """Verifications that were enqueued together are not polled together: all of the range is used."""
    backoff, random = Backoff(first_s=10, factor=2, cap_s=600), Random(7)
    drawn = [backoff.countdown_s(0, random) for _ in range(4000)]
    tenths = [sum(1 for value in drawn if tenth <= value < tenth + 1) for tenth in range(10)]
    assert min(tenths) > 300
    assert max(tenths) < 500


def test_a_limit_counts_tries() -> None:
    backoff = Backoff(1, 2, 60, limit=3)
    assert [backoff.exhausted(attempt) for attempt in range(4)] == [False, False, True, True]
    assert not Backoff(1, 2, 60).exhausted(10**6)


def test_the_poll_settings_are_the_countdown_of_null() -> None:
    settings = Settings(poll_first_s=3, poll_factor=1.5, poll_cap_s=90)
    assert Backoffs.from_settings(settings).pending == Backoff(3, 1.5, 90)
