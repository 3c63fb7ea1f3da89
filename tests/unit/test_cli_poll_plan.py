"""`ekyc poll-plan`: the schedule that the settings make, without a Redis, a vendor or a key."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.docs_pages import page
from worker.cli import run
from worker.settings import current

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


class Ekyc:
    """Runs a command line in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def with_env(self, **more: str) -> Ekyc:
        for name, value in more.items():
            self._monkeypatch.setenv(name, value)
        current.cache_clear()
        return self

    def __call__(self, *arguments: str) -> Ended:
        code = run(arguments)
        said = self._capsys.readouterr()
        return Ended(code, said.out, said.err)


@pytest.fixture
def ekyc(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Ekyc]:
    for name in list(os.environ):
        if name.startswith(("EKYC_", "ADVANCE_", "REDIS_", "CELERY_")):
            monkeypatch.delenv(name)
    current.cache_clear()
    yield Ekyc(monkeypatch, capsys)
    current.cache_clear()


def plan(ekyc: Ekyc, *arguments: str, code: int = 0) -> dict[str, Any]:
    ended = ekyc("poll-plan", "--json", *arguments)
    assert (ended.code, ended.err) == (code, "")
    found: dict[str, Any] = json.loads(ended.out)
    return found


@pytest.mark.usefixtures("socket_disabled")
def test_it_prints_each_poll_of_the_defaults_and_asks_nobody(ekyc: Ekyc) -> None:
    ended = ekyc("poll-plan")
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[1].split() == ["1", "0", "s", "0", "s"]
    assert lines[2].split("  ")[-1].strip() == "1.5 s (1.0 s to 2.0 s)"
    assert "9.0 s (6.0 s to 12 s)" in lines[2]
    assert lines[-1] == (
        "At the deadline, 2 h 0 min after the enqueue, a verification is polled for the last time and decided."
    )


def test_it_is_about_the_settings_of_the_environment(ekyc: Ekyc) -> None:
    mine = ekyc.with_env(
        EKYC_POLL_FIRST="8", EKYC_POLL_FACTOR="2", EKYC_POLL_CAP="60", EKYC_POLL_DEADLINE="100"
    )
    found = plan(mine)
    assert [poll["latest_s"] for poll in found["user_done"]] == [0, 8, 24, 56, 100, 100]
    assert [poll["latest_s"] for poll in found["user_at_it"]] == [0, 48, 100, 100]
    assert (found["first_s"], found["factor"], found["cap_s"], found["deadline_s"]) == (8, 2, 60, 100)
    assert found["load"] is None


def test_a_load_comes_to_calls_people_waiting_and_workers(ekyc: Ekyc) -> None:
    load = plan(ekyc, "--per-second", "100")["load"]
    assert load["calls_per_second"] == pytest.approx(100 * load["polls_each"], rel=0.001)
    assert load["waiting"] == pytest.approx(100 * load["waits_s"], rel=0.001)
    assert load["redis_bytes"] == 400 * load["waiting"]
    # (1,080 polls · 1 ms + 100 · 2 ms) / 0.7
    assert load["workers"] == 2
    assert load["rate_suffices"] is True
    dearer = plan(ekyc, "--per-second", "100", "--poll-ms", "2", "--decision-ms", "24")["load"]
    assert dearer["workers"] == 7


def test_the_page_shows_what_it_prints(ekyc: Ekyc) -> None:
    _, load = ekyc("poll-plan", "--per-day", "1000000").out.split("decided.\n\n")
    assert load in page("docs/schedule.md").text


@pytest.mark.parametrize("factor", ["1.2", "1.35", "1.5", "2"])
def test_the_page_says_what_another_factor_does(ekyc: Ekyc, factor: str) -> None:
    load = plan(ekyc.with_env(EKYC_POLL_FACTOR=factor), "--per-second", "10")["load"]
    row = f"| {factor} | {load['polls_each']:.1f} | {load['delay_median_s']:.0f} s | {load['delay_p95_s']:.0f} s |"
    assert row in page("docs/schedule.md").text


def test_a_day_is_86400_seconds(ekyc: Ekyc) -> None:
    assert plan(ekyc, "--per-day", "864000")["load"] == plan(ekyc, "--per-second", "10")["load"]


def test_a_huge_load_is_told_in_digits(ekyc: Ekyc) -> None:
    out = ekyc("poll-plan", "--per-second", "1e6").out
    assert "\n1,000,000 enqueued a second:\n" in out
    assert re.search(r"vendor calls  10,\d{3},\d{3} a second", out)
    assert re.search(r"workers       18,\d{3}, busy", out)


def test_users_who_are_done_take_fewer_polls_than_users_who_are_not_and_those_who_leave_take_most(
    ekyc: Ekyc,
) -> None:
    done = plan(ekyc, "--per-second", "1", "--user", "0s")["load"]
    at_it = plan(ekyc, "--per-second", "1", "--abandoned", "0")["load"]
    left = plan(ekyc, "--per-second", "1", "--abandoned", "100")["load"]
    assert done["polls_each"] < at_it["polls_each"] < left["polls_each"]
    told = plan(ekyc, "--per-second", "1", "--abandoned", "0", "--told")["load"]
    assert told["delay_median_s"] < 0.5 * at_it["delay_median_s"]
    assert plan(ekyc, "--per-second", "1", "--vendor", "5m")["load"]["polls_each"] > at_it["polls_each"]


def test_a_rate_that_is_too_small_for_the_load_is_one_line_and_exit_code_1(ekyc: Ekyc) -> None:
    slow = ekyc.with_env(EKYC_RATE="100")
    ended = slow("poll-plan", "--per-second", "20")
    assert ended.code == 1
    assert ended.out.splitlines()[-1].startswith("EKYC_RATE=100 is too small: this takes 2")
    assert plan(slow, "--per-second", "20", code=1)["load"]["rate_suffices"] is False
    assert plan(slow, "--per-second", "5")["load"]["rate_suffices"] is True
    assert "EKYC_RATE" not in slow("poll-plan").out


def test_where_nobody_is_answered_before_the_deadline_it_says_so(ekyc: Ekyc) -> None:
    short = ekyc.with_env(EKYC_POLL_DEADLINE="60")
    ended = short("poll-plan", "--per-second", "1", "--abandoned", "100")
    assert "the vendor answers no verification before the deadline" in ended.out
    assert plan(short, "--per-second", "1", "--abandoned", "100")["load"]["delay_median_s"] is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--per-second", "0"), "Invalid value for '--per-second': must be above 0"),
        (("--per-day", "nan"), "Invalid value for '--per-day': must be above 0"),
        (("--per-second", "many"), "Invalid value for '--per-second'"),
        (("--per-second", "1", "--per-day", "1"), "give --per-second or --per-day, not both"),
        (("--user", "soon"), "Invalid value for '--user': must be a time such as 30s, 10m or 2h"),
        (("--vendor", "25h"), "Invalid value for '--vendor': must be at most a day"),
        (("--abandoned", "101"), "Invalid value for '--abandoned': must be 0 to 100"),
        (("--poll-ms", "inf"), "Invalid value for '--poll-ms': must be above 0"),
    ],
)
def test_what_cannot_be_meant_is_one_line_and_exit_code_2(
    ekyc: Ekyc, arguments: tuple[str, ...], said: str
) -> None:
    ended = ekyc("poll-plan", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert len(ended.err.splitlines()) == 1
    assert ended.err.startswith(f"ekyc: {said}")


def test_settings_that_poll_without_end_are_one_line_and_exit_code_2(ekyc: Ekyc) -> None:
    ended = ekyc.with_env(EKYC_POLL_CAP="0.01")("poll-plan", "--per-second", "1")
    assert (ended.code, ended.out) == (2, "")
    assert len(ended.err.splitlines()) == 1
    assert "raise the cap" in ended.err


def test_the_defaults_of_the_help_are_those_that_the_page_gives_reasons_for(ekyc: Ekyc) -> None:
    text = " ".join(ekyc("poll-plan", "--help").out.split())
    assert "[default: 2m]" in text
    assert "[default: 6s]" in text
    assert "docs/adr/0002-batches.md. [default: 1.0]" in text
    assert "docs/benchmarks.md. [default: 2.0]" in text
