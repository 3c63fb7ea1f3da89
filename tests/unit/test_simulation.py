"""Polls on paper: the policy played against a vendor of whom all is known."""

from __future__ import annotations

import math
from random import Random

import pytest

from benchmarks.schedule.figures import Figures
from benchmarks.schedule.traffic import Span, Traffic
from worker.errors import InvalidInput
from worker.policy.backoff import USER_TIMEOUT_S, USER_TIMEOUT_SPREAD_S, Backoff, Backoffs
from worker.policy.rules import Policy
from worker.policy.simulation import Played, Scenario, simulate, timetable
from worker.settings import Settings

DEADLINE_S = 7200.0


def every(done_s: float, at_it_s: float, *, growth: float = 1.0) -> Policy:
    """A policy without jitter."""
    pending, unsubmitted = (
        Backoff(first_s, growth, DEADLINE_S, shortest=1.0) for first_s in (done_s, at_it_s)
    )
    return Policy(Backoffs(pending, unsubmitted), deadline_s=DEADLINE_S, random=Random(1))


def test_it_is_polled_at_once_and_then_after_each_countdown_until_a_poll_finds_the_answer() -> None:
    played = simulate(every(10, 10), Scenario(answered_s=35))
    assert played == Played((0, 10, 20, 30, 40), delay_s=5)


def test_an_answer_that_is_there_at_the_enqueue_takes_one_poll() -> None:
    assert simulate(every(10, 10), Scenario(answered_s=0)) == Played((0,), delay_s=0)


def test_the_poll_that_learns_of_the_submission_begins_the_countdowns_anew() -> None:
    played = simulate(every(1, 8, growth=2), Scenario(submitted_s=20, answered_s=30))
    assert played.polls_s == (0, 8, 24, 25, 27, 31)


def test_a_callback_brings_the_next_poll_forward_too() -> None:
    course = Scenario(submitted_s=20, answered_s=22.5, nudged_s=21, called_back_s=22.5)
    played = simulate(every(100, 100), course)
    assert played.polls_s == (0.0, 21.0, 22.5)
    assert played.delay_s == 0.0


def test_a_nudge_brings_the_next_poll_forward() -> None:
    played = simulate(every(1, 100), Scenario(submitted_s=20, answered_s=22.5, nudged_s=20))
    assert played == Played((0, 20, 21, 22, 23), delay_s=0.5)


def test_who_is_never_answered_is_polled_for_the_last_time_at_the_deadline_and_has_no_delay() -> None:
    played = simulate(every(700, 700), Scenario(submitted_s=0))
    assert played.polls_s[-2:] == (7000, DEADLINE_S)
    assert played.delay_s is None


def test_who_never_submits_is_polled_just_after_the_vendors_hour() -> None:
    polls_s = simulate(every(700, 700), Scenario()).polls_s
    (after_s,) = [
        at_s for at_s in polls_s if USER_TIMEOUT_S <= at_s <= USER_TIMEOUT_S + USER_TIMEOUT_SPREAD_S
    ]
    assert polls_s[polls_s.index(after_s) - 1] == 3500


def test_a_fixed_interval_is_late_by_half_of_it() -> None:
    """What anybody can work out, for answers that come evenly: so the player counts as it should."""
    played = [simulate(every(10, 10), Scenario(answered_s=100 + index / 10)) for index in range(1, 1000)]
    figures = Figures.of(played)
    assert figures.median_s == pytest.approx(5, abs=0.2)
    assert figures.p95_s == pytest.approx(9.5, abs=0.2)
    assert figures.polls == pytest.approx(150 / 10 + 1.5, abs=0.1)
    assert figures.waits_s == pytest.approx(150 + 5, abs=0.2)


@pytest.mark.parametrize(("shortest", "late"), [(1.0, 0.5), (0.5, 0.5185), (0.0, 0.6667)])
def test_what_jitter_costs(shortest: float, late: float) -> None:
    """The mean delay in mean countdowns: E[c²] / (2 E[c]²). As `worker.policy.backoff` says, a third more, or 4 %."""
    longest_s = 10.0
    backoff = Backoff(longest_s, 1.0, longest_s, shortest=shortest)
    policy = Policy(Backoffs(backoff, backoff), deadline_s=DEADLINE_S, random=Random(5))
    delays_s = [
        played.delay_s
        for index in range(1500)
        if (played := simulate(policy, Scenario(submitted_s=0, answered_s=100 + index / 37.5))).delay_s
        is not None
    ]
    mean_countdown_s = longest_s * (1 + shortest) / 2
    assert sum(delays_s) / len(delays_s) == pytest.approx(late * mean_countdown_s, rel=0.05)


def test_figures_of_those_whom_nobody_answers_have_no_delay() -> None:
    figures = Figures.of([Played((0, 5, 10), None)])
    assert (figures.polls, figures.waits_s) == (3, 10)
    assert math.isinf(figures.median_s)


def test_a_span_has_the_median_and_the_95th_percentile_that_it_says() -> None:
    span = Span(120, 360)
    assert span.quantile_s(0.5) == pytest.approx(120)
    assert span.quantile_s(0.95) == pytest.approx(360)
    assert Span(0, 0).quantile_s(0.3) == 0


def test_traffic_has_the_shares_that_it_says() -> None:
    traffic = Traffic(
        Span(120, 360), Span(6, 20), Span(3000, 9000), looked_at=0.1, abandoned=0.2, never=0.05, told=True
    )
    courses = traffic.courses(2000, Random(3))
    assert sum(1 for course in courses if math.isinf(course.answered_s)) == 100
    finished = [course for course in courses if not math.isinf(course.submitted_s)]
    assert len(finished) == 1500
    assert all(course.nudged_s == course.submitted_s < course.answered_s for course in finished)
    assert sum(1 for course in finished if course.answered_s - course.submitted_s > 500) == pytest.approx(
        150, abs=5
    )
    abandoned_s = sorted(
        course.answered_s
        for course in courses
        if math.isinf(course.submitted_s) and not math.isinf(course.answered_s)
    )
    assert len(abandoned_s) == 400
    assert USER_TIMEOUT_S - 60 < abandoned_s[0] < USER_TIMEOUT_S < abandoned_s[-1] < USER_TIMEOUT_S + 120


def test_traffic_is_the_same_every_time() -> None:
    traffic = Traffic(Span(120, 360), Span(6, 20), abandoned=0.2)
    assert traffic.courses(50, Random(3)) == traffic.courses(50, Random(3)) != traffic.courses(50, Random(4))


@pytest.mark.parametrize("submitted", [True, False])
def test_a_timetable_goes_from_the_enqueue_to_the_deadline_and_holds_every_game(*, submitted: bool) -> None:
    """Whatever the jitter draws, the n-th poll lies between its earliest and its latest moment."""
    settings = Settings()
    moments = timetable(settings, submitted=submitted)
    assert moments[0].latest_s == 0
    assert moments[-1].expected_s == moments[-1].latest_s == settings.poll_deadline_s
    policy = Policy(Backoffs.from_settings(settings), deadline_s=settings.poll_deadline_s, random=Random(2))
    course = Scenario(submitted_s=0.0) if submitted else Scenario()
    for _ in range(50):
        for moment, at_s in zip(moments, simulate(policy, course).polls_s, strict=False):
            assert moment.earliest_s - 0.1 <= at_s <= moment.latest_s + 0.1


def test_a_timetable_is_that_of_the_settings() -> None:
    settings = Settings(poll_first_s=8, poll_factor=2, poll_cap_s=60, poll_deadline_s=100)
    done = timetable(settings, submitted=True)
    assert [moment.latest_s for moment in done] == [0, 8, 24, 56, 100, 100]
    assert [moment.earliest_s for moment in done] == [0, 4, 12, 28, 58, 88]
    assert [moment.expected_s for moment in done] == [0, 6, 18, 42, 87, 100]


def test_more_polls_than_anybody_would_read_are_refused_with_what_to_do() -> None:
    with pytest.raises(InvalidInput, match=r"EKYC_POLL_CAP=0\.01 .* raise the cap"):
        timetable(Settings(poll_cap_s=0.01), submitted=True)
