"""The picture of a timeline: what is drawn where, for few and for many events."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import pytest

from worker.ledger.models import Event, Hold, Stage, Status, Verification
from worker.web.console import timeline

if TYPE_CHECKING:
    from worker.web.console.timeline import Picture

BEGAN_MS: Final = 1_800_000_000_000
HOUR_MS: Final = 3_600_000


def status(*events: tuple[int, str], stage: Stage = Stage.DONE, **more: Any) -> Status:
    """A verification with events so many ms after its beginning; `more`: of the status."""
    steps = tuple(Event(BEGAN_MS + after_ms, name, "", "w1@host") for after_ms, name in events)
    now_ms = more.pop("now_ms", BEGAN_MS + HOUR_MS)
    found = Status(Verification("a", "ph", stage, BEGAN_MS, polls=7), now_ms, None, None, 0, None, steps)
    return replace(found, **more)


def stages(picture: Picture) -> list[str]:
    return [bar.tone for bar in picture.bars if bar.y < 32]


DONE: Final = ((90_000, "settled"), (90_400, "archived"), (90_500, "decided"), (90_510, "delivered"))


def test_each_stage_is_drawn_from_its_event_to_the_next() -> None:
    picture = timeline.draw(status(*DONE), None)
    assert stages(picture) == ["polling", "archiving", "routing"]
    bars = [bar for bar in picture.bars if bar.y < 32]
    assert all(abs(left.x + left.width - right.x) < 0.01 for left, right in pairwise(bars))
    assert bars[0].title.startswith("polling: 7 polls, 0 in a row without a result, +0 ms to +1 min 30 s")
    assert picture.now_x is None
    assert [lane.name for lane in picture.lanes] == ["Stage", "Steps", "Decision", "Workers"]


def test_a_short_step_after_a_long_wait_is_seen() -> None:
    """100 ms after 90 s: on a linear axis it would be a pixel."""
    picture = timeline.draw(status(*DONE), None)
    assert min(bar.width for bar in picture.bars if bar.y < 32) > 40


def test_a_moment_is_never_drawn_before_an_earlier_one() -> None:
    picture = timeline.draw(status(*DONE, (7200_000, "acknowledged")), None)
    xs = [tick.x for tick in picture.ticks]
    assert xs == sorted(xs)
    assert picture.ticks[0].text == "+0 ms"
    assert picture.ticks[-1].text == "+2 h 0 min"


@pytest.mark.parametrize(
    ("events", "stage", "drawn"),
    [
        ((), Stage.POLLING, ["polling"]),
        (((5, "settled"), (6, "quarantined")), Stage.QUARANTINED, ["polling", "several", "quarantined"]),
        (
            ((5000, "refused"), (5000, "quarantined"), (60_000, "retried")),
            Stage.POLLING,
            ["polling", "quarantined", "polling"],
        ),
        (
            ((9000, "settled"), (12_000, "decide_first"), (15_000, "decided"), (20_000, "delivered")),
            Stage.ARCHIVING,
            ["polling", "archiving", "routing", "archiving"],
        ),
        (
            ((9000, "settled"), (12_000, "decided"), (20_000, "handed_over"), (30_000, "acknowledged")),
            Stage.DONE,
            ["polling", "archiving", "routing", "delivering"],
        ),
        (
            ((9000, "settled"), (12_000, "decided"), (20_000, "delivered"), (90_000, "settled_late")),
            Stage.ARCHIVING,
            ["polling", "archiving", "routing", "polling", "archiving"],
        ),
    ],
)
def test_the_stages_that_events_show(
    events: tuple[tuple[int, str], ...], stage: Stage, drawn: list[str]
) -> None:
    picture = timeline.draw(status(*events, stage=stage), None)
    if "several" in drawn:
        # Two moments of a ms are too close to be told apart.
        assert set(stages(picture)) <= {"polling", "archiving", "several", "quarantined"}
    else:
        assert stages(picture) == drawn


def test_what_is_ahead_is_drawn_after_now() -> None:
    found = status((60_000, "submitted"), stage=Stage.POLLING, now_ms=BEGAN_MS + 70_000)
    found = replace(found, due_at_ms=found.now_ms + 600_000)
    hold = Hold("ph", found.now_ms + 900_000, "VENDOR_BUSY", at_ms=found.now_ms - 5000)
    picture = timeline.draw(found, hold)
    assert picture.now_x is not None
    (wait,) = (bar for bar in picture.bars if bar.tone == "wait")
    (held,) = (bar for bar in picture.bars if bar.tone == "hold")
    assert abs(wait.x - picture.now_x) < 0.01
    assert held.x < picture.now_x < held.x + held.width
    assert held.x + held.width > wait.x + wait.width


def test_a_lease_and_the_workers_are_drawn() -> None:
    found = status((1000, "fault"), stage=Stage.POLLING, now_ms=BEGAN_MS + 70_000)
    picture = timeline.draw(replace(found, leased_until_ms=found.now_ms + 20_000), None)
    assert [bar.tone for bar in picture.bars][-2:] == ["worker", "lease"]
    assert "w1@host" in next(bar.title for bar in picture.bars if bar.tone == "worker")


def test_an_erased_one_has_no_events() -> None:
    picture = timeline.draw(status(stage=Stage.ERASED), None)
    assert (picture.bars, picture.marks) == ((), ())


def test_hostile_text_is_made_visible() -> None:
    found = status()
    found = replace(found, timeline=(Event(BEGAN_MS + 5, "fault\u202e", "a\u200b", "w\u2066"),))
    picture = timeline.draw(found, None)
    titles = "".join([*(mark.title for mark in picture.marks), *(bar.title for bar in picture.bars)])
    assert "⟨U+202E⟩" in titles
    assert not set("\u202e\u200b\u2066") & set(titles)


def many(count: int) -> Status:
    """An older release's timeline, with every kind of event in turn."""
    names = [name for name in timeline.KINDS if name != "enqueued"]
    steps = tuple(
        Event(BEGAN_MS + number * 977, names[number % len(names)], "x" * 200, f"w{number % 5}@host")
        for number in range(count)
    )
    return replace(status(), timeline=steps)


def test_a_thousand_events_are_drawn_in_a_bounded_space() -> None:
    small, large = (timeline.draw(many(count), None) for count in (1000, 8000))
    for picture in (small, large):
        assert len(picture.marks) <= 7 * 31
        assert len(picture.bars) <= 7 * 180
        assert picture.height <= 300
    assert sum(mark.count for mark in large.marks) == 8001
    for picture in (small, large):
        for before, after in pairwise(picture.ticks):
            assert after.x - before.x >= 100


def test_the_time_grows_with_the_number_of_events_alone() -> None:
    def took(count: int) -> float:
        found = many(count)
        began = time.thread_time()
        timeline.draw(found, None)
        return time.thread_time() - began

    # Ten times off: 8 times as many events take 8 times as long.
    assert took(8000) < 80 * max(took(1000), 1e-3)
