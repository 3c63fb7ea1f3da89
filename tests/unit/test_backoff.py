"""Countdowns: exponential, capped, with jitter."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from worker.policy.backoff import Backoff, Backoffs
from worker.settings import Settings


def test_a_countdown_grows_by_its_factor_up_to_its_cap() -> None:
    backoff = Backoff(first_s=2, factor=2, cap_s=600)
    assert [backoff.ceiling_s(attempt) for attempt in (0, 1, 2, 8, 9, 10)] == [2, 4, 8, 512, 600, 600]


def test_every_factor_above_1_comes_to_the_cap() -> None:
    assert Backoff(first_s=2, factor=1.01, cap_s=600).ceiling_s(600) == 600
    assert Backoff(first_s=2.0, factor=1e300, cap_s=600).ceiling_s(5) == 600


@given(
    attempt=st.integers(0, 10_000),
    first_s=st.floats(0.1, 60),
    factor=st.floats(1, 10),
    cap_s=st.floats(1, 3600),
    shortest=st.floats(0, 1),
    seed=st.integers(),
)
def test_jitter_stays_between_its_share_of_the_ceiling_and_all_of_it(  # noqa: PLR0917 - drawn by name
    attempt: int, first_s: float, factor: float, cap_s: float, shortest: float, seed: int
) -> None:
    backoff = Backoff(first_s, factor, cap_s, shortest=shortest)
    drawn_s, ceiling_s = backoff.countdown_s(attempt, Random(seed)), backoff.ceiling_s(attempt)
    assert shortest * ceiling_s <= drawn_s <= ceiling_s <= cap_s


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


def test_what_was_enqueued_together_does_not_come_back_together() -> None:
    """The countdown of null has half of its ceiling to spread over, and uses all of it."""
    pending, random = Backoffs.from_settings(Settings(poll_first_s=20)).pending, Random(7)
    drawn = [pending.countdown_s(0, random) for _ in range(4000)]
    seconds = [sum(1 for value in drawn if second <= value < second + 1) for second in range(10, 20)]
    assert sum(seconds) == len(drawn)
    assert min(seconds) > 300
    assert max(seconds) < 500


def test_the_poll_settings_are_the_countdowns_of_null() -> None:
    settings = Settings(poll_first_s=3, poll_factor=1.5, poll_cap_s=90)
    backoffs = Backoffs.from_settings(settings)
    assert backoffs.pending == Backoff(3, 1.5, 90, shortest=0.5)
    assert backoffs.unsubmitted == Backoff(18, 1.5, 90, shortest=0.5)


def test_with_1200_seconds_for_first_and_cap_no_countdown_is_shorter_than_ten_minutes() -> None:
    """Which is what the vendor asks for, and what the README says to set for it."""
    backoffs = Backoffs.from_settings(Settings(poll_first_s=1200, poll_cap_s=1200))
    for backoff in (backoffs.pending, backoffs.unsubmitted):
        assert min(backoff.countdown_s(0, Random(seed)) for seed in range(500)) >= 600
