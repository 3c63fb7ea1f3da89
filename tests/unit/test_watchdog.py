"""The watchdog of the calls thread: progress is counted in looks, never in time alone."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.waiting import until
from worker.concurrency.executor import EventLoop, Executor
from worker.runtime.watchdog import EXIT_STUCK, Watchdog
from worker.time_budget import END_CHECKS, STUCK_CHECKS

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.blocks_event_loop


class Intake:
    def __init__(self) -> None:
        self.told: list[str] = []

    def pause_intake(self) -> None:
        self.told.append("pause")

    def resume_intake(self) -> None:
        self.told.append("resume")


class Blocked:
    """A calls thread in which one call blocks all others until `let_go` is set."""

    def __init__(self) -> None:
        self.thread, self.let_go, self.intake = EventLoop(), threading.Event(), Intake()
        self.ends: list[int] = []
        self.watchdog = Watchdog(self.thread, self.intake, end=self.ends.append)

    def is_stuck(self) -> bool:
        return self.thread.is_stuck

    def block(self) -> None:
        blocking = threading.Event()

        def wait(item: str) -> str:
            blocking.set()
            self.let_go.wait(30)
            return item

        Executor(8, self.thread).begin(wait, ["blocks"])
        assert blocking.wait(30)

    def look(self, times: int) -> None:
        for _ in range(times):
            self.watchdog.look()


@pytest.fixture
def blocked() -> Iterator[Blocked]:
    blocked = Blocked()
    yield blocked
    blocked.let_go.set()


def test_a_thread_that_has_not_begun_is_not_stuck(blocked: Blocked) -> None:
    blocked.look(END_CHECKS * 2)
    assert not blocked.is_stuck()
    assert not blocked.ends


def test_a_blocked_thread_is_stuck_after_so_many_looks_and_ends_the_process_after_more(
    blocked: Blocked,
) -> None:
    blocked.block()
    blocked.look(STUCK_CHECKS)  # the first one makes the request
    assert not blocked.is_stuck()
    blocked.look(1)
    assert blocked.is_stuck()
    assert blocked.intake.told == ["pause"]
    blocked.look(END_CHECKS - STUCK_CHECKS - 1)
    assert not blocked.ends
    blocked.look(1)
    assert blocked.ends == [EXIT_STUCK]


def test_time_alone_makes_no_thread_stuck(blocked: Blocked, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was suspended for an hour, or got no CPU: its watchdog looked as seldom as its calls ran."""
    blocked.block()
    blocked.look(1)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 3600)
    blocked.look(2)
    assert not blocked.is_stuck()
    assert not blocked.ends
    assert blocked.thread.late_s() > 3000


def test_a_thread_that_makes_progress_is_no_longer_stuck(blocked: Blocked) -> None:
    blocked.block()
    blocked.look(STUCK_CHECKS + 1)
    assert blocked.is_stuck()
    blocked.let_go.set()

    def recovered() -> bool:
        blocked.look(1)
        return not blocked.is_stuck()

    until(recovered, "the thread makes progress")
    assert blocked.intake.told == ["pause", "resume"]
    assert not blocked.ends


def test_a_busy_thread_is_not_stuck(blocked: Blocked) -> None:
    """One that answers between two looks, however many it still has in hands."""
    answered = threading.Event()
    Executor(8, blocked.thread).begin(lambda item: item, [1])
    for _ in range(END_CHECKS * 2):
        blocked.look(1)
        answered.clear()
        blocked.thread.soon(answered.set)
        assert answered.wait(30)
    assert not blocked.is_stuck()
    assert not blocked.ends


def test_where_it_is_blocked_can_be_named(blocked: Blocked) -> None:
    assert blocked.thread.position() == ("", None)
    blocked.block()
    at, item = blocked.thread.position()
    assert "threading.py:" in at
    assert item == "blocks"
