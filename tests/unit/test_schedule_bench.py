"""The simulator behind `docs/schedule.md`: its peers are what people write, and what it says is so."""

from __future__ import annotations

import math
import re
from functools import cache
from random import Random
from xml.etree import ElementTree as ET

import pytest
from celery.utils.time import get_exponential_backoff_interval

from benchmarks.schedule import report
from benchmarks.schedule.__main__ import DRAWN, NUMBER, crowds
from benchmarks.schedule.chart import Row, draw, most_polls
from benchmarks.schedule.crowd import Crowd
from benchmarks.schedule.figures import Figures, at_polls, compare, of_family
from benchmarks.schedule.peers import AS_WRITTEN, AUTORETRY, DEADLINE_S, DOUBLING, FIXED, Peer
from benchmarks.schedule.scenarios import SCENARIOS, ScenarioMix
from benchmarks.schedule.steps import steps
from benchmarks.schedule.traffic import Span, Traffic
from tests.support.docs_pages import page
from worker.policy.backoff import Backoffs
from worker.policy.rules import Policy
from worker.policy.simulation import Played, Scenario, simulate
from worker.settings import Settings

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}

#: Verifications of a scenario where no figure of the page is compared.
FEW = NUMBER // 3

#: The distributions that the target is about.
TARGET = ("quick", "slow", "user", "user, told", "abandoned", "mixture", "mixture, told")


@cache
def default_crowds() -> dict[str, Crowd]:
    return crowds(Settings())


def test_plain_2_to_the_n_polls_one_second_before_each_power() -> None:
    played = AS_WRITTEN.play(Scenario(answered_s=100), Random(1))
    assert played == Played((0, 1, 3, 7, 15, 31, 63, 127), delay_s=27)


def test_a_notification_begins_a_peers_countdowns_anew() -> None:
    played = AS_WRITTEN.play(Scenario(submitted_s=40, answered_s=42, nudged_s=40), Random(1))
    assert played.polls_s == (0, 1, 3, 7, 15, 31, 40, 41, 43)


def test_a_peer_gives_up_at_the_first_poll_after_the_deadline() -> None:
    played = AS_WRITTEN.play(Scenario(), Random(1))
    assert played.polls_s[-2] < DEADLINE_S <= played.polls_s[-1]
    assert played.delay_s is None


@pytest.mark.parametrize("retries", [0, 3, 9, 12])
def test_the_peers_countdowns_are_celerys_own(retries: int) -> None:
    plain = Peer(3.0, longest_s=600.0)
    celerys_s = get_exponential_backoff_interval(3, retries, 600)
    assert plain.countdown_s(retries, Random(1)) == celerys_s
    jittered = AUTORETRY.peer.scaled(3.0)
    drawn_s = [jittered.countdown_s(retries, Random(seed)) for seed in range(300)]
    assert 0 <= min(drawn_s) < 0.05 * celerys_s
    assert 0.95 * celerys_s < max(drawn_s) <= celerys_s


@pytest.mark.parametrize("factor", [1.2, 1.35, 1.5, 2.0])
def test_the_page_says_what_another_factor_does(factor: float) -> None:
    settings = Settings(poll_factor=factor)
    policy = Policy(Backoffs.from_settings(settings), deadline_s=settings.poll_deadline_s, random=Random(1))
    courses = Traffic(Span(120, 360), Span(6, 18), abandoned=0.25).courses(2000, Random(2))
    found = Figures.of([simulate(policy, course) for course in courses])
    row = f"| {factor:g} | {found.polls:.1f} | {found.median_s:.0f} s | {found.p95_s:.0f} s |"
    assert row in page("docs/schedule.md").text


@pytest.mark.parametrize("scale", [0.01, 0.1, 1.0])
def test_no_scale_makes_2_to_the_n_less_late(scale: float) -> None:
    """Over an octave its delay at t has the median (√2 - 1) t: more polls only make it poll sooner where nothing is."""
    courses = [Scenario(answered_s=2000.0)] * 800
    figures = of_family(DOUBLING, scale, courses)
    assert figures.median_s == pytest.approx((math.sqrt(2) - 1) * 2000, rel=0.02)
    assert figures.polls == pytest.approx(math.log2(2000 / scale) + 1.5, abs=0.1)


def test_equal_polls_are_as_many_or_a_little_more() -> None:
    courses = BY_NAME["user"].courses(400)
    for family in (DOUBLING, AUTORETRY, FIXED):
        assert 9.0 <= at_polls(family, 9.0, courses).polls < 9.2


@pytest.mark.parametrize("name", TARGET)
def test_at_equal_polls_median_and_95th_percentile_are_30_percent_below_2_to_the_n(name: str) -> None:
    """What the defaults were chosen for. Everything is drawn from fixed seeds, so no run is luckier than another."""
    found = compare(BY_NAME[name], Settings(), FEW, (DOUBLING,))
    assert found.at_our_polls[DOUBLING.name].polls >= found.ours.polls
    assert found.median_ratio(DOUBLING) <= 0.7
    assert found.p95_ratio(DOUBLING) <= 0.7


def test_every_scenario_is_the_same_for_everybody_who_plays_it() -> None:
    for scenario in SCENARIOS:
        assert scenario.courses(50) == scenario.courses(50)
        assert len(scenario.courses(50)) == 50


def test_a_crowd_that_waits_without_jitter_comes_back_as_one() -> None:
    assert Crowd.of([Played((0, 5.2, 90, 3601), None)] * 3) == Crowd(soon=1, later=1, after_the_hour=1)


def test_a_crowd_that_waits_by_our_countdowns_does_not() -> None:
    ours = default_crowds()["ours"]
    assert ours.soon < 0.25
    assert max(ours.later, ours.after_the_hour) < 0.1


def test_every_step_is_a_step_to_the_defaults() -> None:
    """The last one is what workers do."""
    courses = BY_NAME["mixture"].courses(300)
    (*_, before, now) = steps(Settings(), courses)
    assert now[1] == compare(ScenarioMix("", "", lambda _n, _r: courses), Settings(), 300, ()).ours
    assert now[1].p95_s < before[1].p95_s


def test_the_page_says_what_the_simulator_says() -> None:
    """One row of each table, played again: who changes a countdown makes the page again."""
    rows = page("docs/schedule.md").text
    found = {name: compare(BY_NAME[name], Settings(), NUMBER) for name in ("quick", "user, no flag")}
    for line in (*report.comparisons(found), *report.others(found)):
        assert line in rows
    assert all(line in rows for line in report.crowds(default_crowds()))


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("quicker", Settings(poll_first_s=1.0), "with `EKYC_POLL_FIRST=1` it is 36 %"),
        ("quick, no flag", Settings(poll_first_s=2.0 / 6), "divide `EKYC_POLL_FIRST` by six: 38 % and 53 %"),
        ("quick", Settings(poll_factor=1.5), 'the median of "quick" is 26 % below'),
    ],
)
def test_the_page_says_what_other_settings_gain(name: str, settings: Settings, said: str) -> None:
    text = " ".join(page("docs/schedule.md").text.split())
    assert said in text
    found = compare(BY_NAME[name], settings, NUMBER, (DOUBLING,))
    gains = [
        f"{1 - ratio:.0%}".replace("%", " %")
        for ratio in (found.median_ratio(DOUBLING), found.p95_ratio(DOUBLING))
    ]
    quoted = re.findall(r"\d+ %", said)
    assert gains[: len(quoted)] == quoted


def test_the_page_has_a_row_for_every_scenario_and_says_what_it_is() -> None:
    text = page("docs/schedule.md").text
    for scenario in SCENARIOS:
        assert len(re.findall(rf"^\| {scenario.name} \|", text, re.MULTILINE)) == 3, scenario.name


def test_the_committed_chart_shows_the_scenarios_it_should() -> None:
    drawn = ET.parse(page("docs/images/schedule.svg").path)
    texts = [element.text for element in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert [text for text in texts if text in BY_NAME] == list(DRAWN)


def test_a_chart_is_whole_and_marks_what_the_defaults_gain() -> None:
    default = Figures(polls=8.0, median_s=10.0, p95_s=40.0, waits_s=100.0)
    slow = Figures(polls=8.0, median_s=40.0, p95_s=80.0, waits_s=100.0)
    row = Row("user", "a < b", {"2^n": [slow], "b": [slow], "c": [slow]}, [default], default, slow, slow)
    text = draw([row])
    ET.fromstring(text)
    assert "\N{MINUS SIGN}75%" in text
    assert "\N{MINUS SIGN}50%" in text
    assert "a &lt; b" in text
    assert most_polls(default) == 20
