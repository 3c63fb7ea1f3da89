"""The executor's promises to the thread that waits for a batch, and the event loop's to the watchdog."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import gevent
import pytest

from tests.support.executor_calls import Watch, finish
from tests.support.waiting import until
from worker.concurrency.blocking import Lock, run_blocking
from worker.concurrency.executor import EventLoop, Executor
from worker.concurrency.group_commit import GroupCommit

if TYPE_CHECKING:
    from collections.abc import Callable


def test_a_batch_that_is_done_waits_for_nothing_more() -> None:
    watch = Watch()
    run = Executor(8, EventLoop()).begin(watch, range(3))
    until(lambda: watch.now == 3)
    threading.Timer(0.05, watch.open.set).start()
    began_at = time.monotonic()
    assert len(run.outcomes(timeout_s=20, gather_s=lambda: 20.0)) == 3
    assert time.monotonic() - began_at < 10


def test_a_batch_of_which_the_rest_was_taken_back_waits_for_nothing_more() -> None:
    watch = Watch()
    run = Executor(2, EventLoop()).begin(watch, range(8))
    until(lambda: watch.now == 2)
    assert len(run.take_back()) == 6
    threading.Timer(0.05, watch.open.set).start()
    began_at = time.monotonic()
    assert len(run.outcomes(timeout_s=20, gather_s=lambda: 20.0)) == 2
    assert time.monotonic() - began_at < 10
    assert run.pending == []


def test_outcomes_that_return_while_the_first_one_waits_join_it() -> None:
    """They are recorded in one call."""
    first = threading.Event()

    def each(item: int) -> int:
        if item:
            run_blocking(first.wait, 30)
        return item

    run = Executor(8, EventLoop()).begin(each, range(4))

    def gather_s() -> float:
        first.set()
        return 20.0

    assert len(run.outcomes(timeout_s=20, gather_s=gather_s)) == 4


def test_what_was_raised_is_still_pending() -> None:
    def fail(item: int) -> int:
        raise LookupError(str(item))

    run = Executor(8, EventLoop()).begin(fail, [1])
    with pytest.raises(LookupError):
        run.outcomes(timeout_s=20, gather_s=lambda: 0.0)
    assert run.pending == [1]


def test_a_request_that_fails_does_not_keep_later_ones(capfd: pytest.CaptureFixture[str]) -> None:
    """They are answered although nothing wakes the loop again."""
    event_loop, came, queued = EventLoop(), threading.Event(), threading.Event()
    finish(Executor(8, event_loop).begin(lambda item: item, [1]))

    def fail() -> None:
        queued.wait(30)
        raise MemoryError

    event_loop.soon(fail)
    event_loop.soon(came.set)
    queued.set()
    assert came.wait(30)
    assert "MemoryError" in capfd.readouterr().err


def test_a_lock_that_a_thread_with_a_hub_holds_is_waited_for_no_longer_than_asked() -> None:
    gevent.sleep(0)  # from now on this thread has a hub
    lock, had = Lock(), list[bool]()
    assert lock.acquire(0.0)
    thread = threading.Thread(target=lambda: had.append(lock.acquire(0.05)), daemon=True)
    thread.start()
    thread.join(20)
    assert had == [False]


@pytest.mark.parametrize("error", [OSError(5, "it cannot be written"), gevent.GreenletExit()])
def test_a_run_that_fails_before_its_turn_leaves_the_next_one_to_others(error: BaseException) -> None:
    """A caller that is killed while it waits for its turn: the callers behind it get the same, later ones do not."""
    runs: list[float] = []
    began, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        runs.append(time.monotonic())
        began.set()
        assert go_on.wait(20)

    commit = GroupCommit(slow)

    def outcome(call: Callable[[], None]) -> str:
        try:
            call()
        except BaseException as raised:  # noqa: BLE001 - a greenlet that is killed gets no Exception
            return type(raised).__name__
        return "done"

    first = gevent.spawn(outcome, commit)
    while not began.is_set():
        gevent.sleep(0.001)
    waits, behind = gevent.spawn(outcome, commit), gevent.spawn(outcome, commit)
    gevent.sleep(0.01)
    waits.kill(error, block=False)
    gevent.sleep(0.01)
    later = gevent.spawn(outcome, commit)
    gevent.sleep(0.01)
    go_on.set()
    gevent.joinall([first, waits, behind, later], timeout=20)
    name = type(error).__name__
    assert [one.value for one in (first, waits, behind, later)] == ["done", name, name, "done"]
    assert len(runs) == 2
