"""`docs/scale.md` says what its formulas say, and they stand on what the other pages measured."""

from __future__ import annotations

import re

import pytest

from benchmarks import scale
from benchmarks.bench.results import read
from benchmarks.bench.summary import OURS, standings
from tests.support.docs_pages import page
from worker.settings import Settings


def flat(name: str) -> str:
    return " ".join(page(name).text.split())


def test_the_table_is_what_the_formulas_make() -> None:
    rows = page("docs/scale.md").text.splitlines()
    for row in scale.table():
        assert row in rows


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (f"**{scale.POLLS:.1f} polls**", scale.POLLS),
        (f"**{scale.STAYS_S:,.0f} s**", scale.STAYS_S),
        (f"**{scale.WORKER_MS:.1f} ms**", scale.WORKER_MS),
        (f"**{scale.REDIS_US / 1000:.1f} ms**", scale.REDIS_US),
        (f"**{scale.REDIS_COMMANDS:.0f} commands**", scale.REDIS_COMMANDS),
        (f"**{scale.CORE_PER_DAY / 1e6:.1f} million a day**", scale.CORE_PER_DAY),
    ],
)
def test_the_prose_quotes_what_the_formulas_make(text: str, value: float) -> None:
    assert text in flat("docs/scale.md"), value


def test_what_was_measured_is_what_the_other_pages_say() -> None:
    schedule = page("docs/schedule.md").rows("scenario | ours: polls, median, p95 |")
    [mixture] = [row for row in schedule if row[0] == "mixture"]
    assert mixture[1].startswith(f"{scale.POLLS_TO_DECISION}, ")
    assert f"takes **{scale.WAITING_BYTES} bytes** of Redis" in flat("docs/measurements.md")
    assert f"keeps **{scale.DONE_BYTES:,} bytes**" in flat("docs/measurements.md")
    found = re.search(r"\| a poll answered null \| (\d+) \| (\d+) \|", page("docs/measurements.md").text)
    assert found is not None
    assert [int(each) for each in found.groups()] == [scale.REDIS_POLL_US, scale.REDIS_POLL_COMMANDS]
    found = re.search(r"\| what a decision adds \| (\d+) \| (\d+) \|", page("docs/measurements.md").text)
    assert found is not None
    assert [int(each) for each in found.groups()] == [scale.REDIS_DECISION_US, scale.REDIS_DECISION_COMMANDS]
    assert Settings().retention_s == scale.RETENTION_DAYS * scale.DAY_S


def test_a_decision_costs_about_what_the_benchmark_recorded() -> None:
    (ours,) = [one for one in standings(read(page("docs/bench.json").path), "cpu") if one.contender == OURS]
    assert ours.cpu_ms - scale.POLL_MS == pytest.approx(scale.DECISION_MS, rel=0.5)


@pytest.mark.parametrize("name", ["docs/scale.md", "docs/operations.md"])
def test_an_idle_worker_costs_redis_what_was_measured(name: str) -> None:
    found = re.search(r"sends \*\*([\d.]+) calls\*\* to Redis", flat("docs/measurements.md"))
    assert found is not None
    assert f"[{found[1]} calls](" in flat(name)


def test_ten_times_as_many_take_ten_times_as_much() -> None:
    few, many = scale.Scale(1e6), scale.Scale(1e7)
    assert many.polls_per_s == pytest.approx(10 * few.polls_per_s)
    assert many.done_gb == pytest.approx(10 * few.done_gb)
    assert few.workers <= many.workers <= 10 * few.workers
