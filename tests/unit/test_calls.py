"""The work of batches: all calls of a process in one thread, none of which holds up another, and never lost."""

from __future__ import annotations

import threading
import time

import pytest

from tests.support.waiting import until
from worker.concurrency.blocking import run_blocking
from worker.concurrency.executor import BatchRun, EventLoop, Executor


def finish(work: BatchRun[int, int], timeout_s: float = 30.0) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    give_up_at = time.monotonic() + timeout_s
    while work.pending:
        assert time.monotonic() < give_up_at
        found += work.outcomes(timeout_s=0.2, gather_s=lambda: 0.01)
    return found


class Watch:
    """How many calls are under way at once, now and at most. Calls wait until `open` is set."""

    def __init__(self) -> None:
        self.most = self.now = 0
        self.threads: set[int] = set()
        self.open = threading.Event()

    def __call__(self, item: int) -> int:
        self.threads.add(threading.get_ident())
        self.now += 1
        self.most = max(self.most, self.now)
        run_blocking(self.open.wait, 30)
        self.now -= 1
        return item * 10


def test_every_item_has_its_outcome_once() -> None:
    work = Executor(64, EventLoop()).begin(lambda item: item * 10, range(1000, 1200))
    assert sorted(finish(work)) == [(item, item * 10) for item in range(1000, 1200)]


def test_nothing_to_do_is_done_at_once() -> None:
    calls = Executor(64, EventLoop())
    assert calls.begin(lambda item: item, []).pending == []
    assert finish(calls.begin(lambda item: item, [1])) == [(1, 1)]


def test_all_that_wait_are_under_way_at_once_in_one_thread() -> None:
    calls, watch = Executor(64, EventLoop()), Watch()
    works = [calls.begin(watch, range(16)) for _ in range(4)]
    until(lambda: watch.now == 64, "64 calls are in flight")
    assert len(watch.threads) == 1
    watch.open.set()
    for work in works:
        assert len(finish(work)) == 16


def test_there_are_never_more_calls_than_may_be_and_the_oldest_batch_comes_first() -> None:
    calls, watch = Executor(8, EventLoop()), Watch()
    first, second = calls.begin(watch, range(12)), calls.begin(watch, range(12))
    until(lambda: watch.now == 8, "8 calls are in flight")
    time.sleep(0.1)
    assert watch.most == 8
    assert len(first.left) == 4
    assert len(second.left) == 12
    watch.open.set()
    assert len(finish(first)) == len(finish(second)) == 12
    assert watch.most == 8


def test_calls_that_wait_hold_up_nobody_behind_them() -> None:
    calls, hung = Executor(64, EventLoop()), Watch()
    first = calls.begin(hung, range(16))
    second = calls.begin(lambda item: item, range(32))
    assert len(finish(second)) == 32
    assert len(first.pending) == 16
    hung.open.set()
    finish(first)


def test_slow_calls_among_quick_ones_of_one_batch_hold_up_none_of_them() -> None:
    calls, hung = Executor(64, EventLoop()), Watch()
    work = calls.begin(lambda item: hung(item) if item % 4 == 0 else item, range(64))
    found: list[tuple[int, int]] = []
    give_up_at = time.monotonic() + 30
    while len(found) < 48:
        assert time.monotonic() < give_up_at
        found += work.outcomes(timeout_s=0.1, gather_s=lambda: 0.0)
    assert hung.now == 16
    hung.open.set()
    assert len(finish(work)) == 16


def test_what_has_not_begun_can_be_taken_back() -> None:
    calls, watch = Executor(8, EventLoop()), Watch()
    work = calls.begin(watch, range(32))
    until(lambda: watch.now == 8, "8 calls are in flight")
    taken = work.take_back()
    assert len(taken) == 24
    watch.open.set()
    assert sorted([item for item, _ in finish(work)] + taken) == list(range(32))


def test_what_a_call_raises_is_raised_where_outcomes_are_awaited() -> None:
    def fail(item: int) -> int:
        raise LookupError(str(item))

    work = Executor(8, EventLoop()).begin(fail, range(3))
    with pytest.raises(LookupError):
        finish(work)


def test_calls_outlive_what_one_raised() -> None:
    calls = Executor(3, EventLoop())
    with pytest.raises(ZeroDivisionError):
        finish(calls.begin(lambda item: 1 // item, [0] * 12))
    assert len(finish(calls.begin(lambda item: item, range(12)))) == 12


@pytest.mark.blocks_event_loop
def test_a_thread_that_does_not_come_to_what_it_was_asked_for_is_late() -> None:
    thread, let_go = EventLoop(), threading.Event()
    assert thread.late_s() == 0.0  # it has not begun
    work = Executor(8, thread).begin(lambda item: item, [1])
    finish(work)
    thread.late_s()
    until(lambda: thread.late_s() < 0.05, "the event loop is in time")

    # What blocks instead of waiting holds up all.
    stuck = Executor(8, thread).begin(lambda item: int(let_go.wait(30)) + item, [1])
    until(lambda: thread.late_s() > 0.2, "the event loop is late")
    assert not thread.is_stuck
    let_go.set()
    finish(stuck)
    until(lambda: thread.late_s() < 0.05, "the event loop is in time")


def test_a_thread_that_cannot_begin_says_why_and_may_later(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> None:
        raise OSError(24, "Too many open files")

    calls = Executor(8, EventLoop())
    with monkeypatch.context() as patched:
        patched.setattr("gevent.get_hub", none)
        with pytest.raises(OSError, match="Too many open files"):
            calls.begin(lambda item: item, [1])
    assert finish(calls.begin(lambda item: item, [2])) == [(2, 2)]


def test_a_thread_that_failed_at_one_thing_comes_to_the_next(capfd: pytest.CaptureFixture[str]) -> None:
    thread, came = EventLoop(), threading.Event()
    finish(Executor(8, thread).begin(lambda item: item, [1]))

    def fail() -> None:
        thread.soon(came.set)  # by now behind it
        raise MemoryError

    thread.soon(fail)
    until(lambda: thread.late_s() < 0.05 and came.is_set(), "the event loop is in time again")
    assert "MemoryError" in capfd.readouterr().err
