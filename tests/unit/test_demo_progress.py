"""How a demo looks while it runs."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from sandbox.demo.bar import Bar, Part, shares
from sandbox.demo.frame import Frame
from sandbox.demo.journal import Journal
from sandbox.demo.progress import face
from worker.ledger.models import Counts, Hold

FRAME = Frame(
    at_s=7.3,
    planned=300,
    now_ms=1_000_000,
    regions={
        "ph": Counts(waiting=20, in_flight=30, done=100, quarantined=10, polls=400),
        "global": Counts(waiting=140, holds=(Hold("global", 1_290_000, "INSUFFICIENT_BALANCE"),)),
    },
    decided={"approve": 90, "review": 10},
)


def shown(*, terminal: bool, width: int = 100, height: int = 40) -> str:
    console = Console(
        file=io.StringIO(), width=width, height=height, force_terminal=terminal, color_system=None
    )
    with face(console, "ekyc demo", "a hint") as progress:
        journal = Journal(progress.tell)
        journal.tell("global on hold: INSUFFICIENT_BALANCE")
        progress.hint("another hint")
        progress.show(FRAME)
        progress.show(FRAME)
    text = console.file
    assert isinstance(text, io.StringIO)
    return text.getvalue()


def test_on_a_terminal_it_shows_figures_decisions_regions_and_what_happened() -> None:
    text = shown(terminal=True)
    assert "100 done   10 quarantined   30 in flight   160 waiting   400 polls   7.3 s" in text
    assert "INSUFFICIENT_BALANCE 4 min 50 s" in text
    assert "approve" in text
    assert "global on hold: INSUFFICIENT_BALANCE" in text
    assert "a hint" in text
    assert "another hint" in text


def test_elsewhere_it_is_a_line_for_what_happens_and_one_for_the_figures_at_times() -> None:
    lines = shown(terminal=False).splitlines()
    assert lines == [
        "  0.0 s  global on hold: INSUFFICIENT_BALANCE",
        "  7.3 s  160 waiting, 30 in flight, 100 done, 10 quarantined, 400 polls",
    ]


@pytest.mark.parametrize(("width", "height"), [(100, 40), (80, 24), (40, 50)])
def test_no_row_is_wider_than_the_terminal(width: int, height: int) -> None:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None)
    with face(console, "ekyc demo", "x" * 200) as progress:
        progress.show(FRAME)
    text = console.file
    assert isinstance(text, io.StringIO)
    without_moves = re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", text.getvalue())
    assert max(len(row) for row in without_moves.splitlines()) <= width


def test_a_frame_is_over_once_all_has_ended_and_the_pipeline_knows() -> None:
    ended = {"ph": Counts(done=290, quarantined=10)}
    assert Frame(1, 300, 0, ended, {"approve": 290}).over
    assert not Frame(1, 300, 0, ended, {"approve": 289}).over
    assert not Frame(1, 301, 0, ended, {"approve": 290}).over


@pytest.mark.parametrize(
    ("amounts", "whole", "width", "expected"),
    [
        ([150, 150], 300, 10, [5, 5]),
        ([299, 1], 300, 10, [9, 1]),
        ([0, 0], 300, 10, [0, 0]),
        ([100], 300, 9, [3]),
        ([1, 1, 298], 300, 10, [1, 1, 8]),
        ([], 0, 10, []),
    ],
)
def test_what_is_there_at_all_gets_a_character_and_the_whole_gets_all(
    amounts: list[float], whole: float, width: int, expected: list[int]
) -> None:
    assert shares(amounts, whole, width) == expected


def test_without_unicode_a_bar_is_made_of_ascii() -> None:
    raw = io.BytesIO()
    console = Console(file=io.TextIOWrapper(raw, encoding="ascii"), width=10, color_system=None)
    console.print(Bar((Part(1, "green", "█", "#"), Part(1, "yellow", "▒", "+")), whole=2))
    console.file.flush()
    assert raw.getvalue() == b"#####+++++\n"
