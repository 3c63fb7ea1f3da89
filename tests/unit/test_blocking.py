"""Waiting: in a greenlet it holds up no other, elsewhere it holds up its thread, and it ends alike."""

from __future__ import annotations

import threading
import time
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any

import gevent
import pytest

from worker.concurrency.blocking import BlockingPool, Lock, in_greenlet, run_blocking
from worker.concurrency.group_commit import GroupCommit
from worker.http_client.deadline import deadline, time_left_s

if TYPE_CHECKING:
    from collections.abc import Callable


def outright(*functions: Callable[[], Any]) -> list[Any]:
    return [function() for function in functions]


def as_greenlets(*functions: Callable[[], Any]) -> list[Any]:
    spawned = [gevent.spawn(function) for function in functions]
    gevent.joinall(spawned, timeout=30, raise_error=True)
    return [one.value for one in spawned]


def test_only_greenlets_are_greenlets() -> None:
    assert not in_greenlet()
    assert as_greenlets(in_greenlet) == [True]


@pytest.mark.parametrize("run", [outright, as_greenlets])
def test_what_blocks_returns_what_it_returns(run: Callable[..., list[Any]]) -> None:
    assert run(lambda: run_blocking(divmod, 7, 2)) == [(3, 1)]
    assert run(lambda: run_blocking(int, "ff", base=16)) == [255]


def test_what_blocks_blocks_one_greenlet_only() -> None:
    go_on = threading.Event()
    assert as_greenlets(lambda: run_blocking(go_on.wait, 20), go_on.set) == [True, None]


def test_what_blocks_raises_what_it_raises() -> None:
    def caught() -> str:
        with pytest.raises(ZeroDivisionError):
            run_blocking(divmod, 1, 0)
        return "caught"

    assert outright(caught) + as_greenlets(caught) == ["caught"] * 2


@pytest.mark.parametrize("error", [FileNotFoundError("who has this link sees the document"), SystemExit(3)])
def test_what_is_raised_aside_is_for_its_caller_alone(
    capfd: pytest.CaptureFixture[str], error: BaseException
) -> None:
    """Its text may be of a document, or of a library that quotes a signed URL."""

    def fail() -> None:
        raise error

    def caught() -> str:
        with pytest.raises(type(error)):
            run_blocking(fail)
        return "caught"

    assert as_greenlets(caught) == ["caught"]
    assert capfd.readouterr() == ("", "")


def test_what_hangs_in_one_place_aside_holds_up_no_other() -> None:
    let_go, hangs, other = threading.Event(), BlockingPool(1), BlockingPool(1)

    def hang() -> bool:
        return hangs(let_go.wait, 20)

    assert as_greenlets(hang, hang, lambda: other(let_go.set)) == [True, True, None]


def test_a_lock_lets_greenlets_wait_without_holding_up_who_has_it() -> None:
    lock, had = Lock(), list[int]()

    def use(number: int) -> bool:
        if not lock.acquire(20.0):
            return False
        had.append(number)
        gevent.sleep(0.01)
        lock.release()
        return True

    assert as_greenlets(*[partial(use, number) for number in range(5)]) == [True] * 5
    assert sorted(had) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("run", [outright, as_greenlets])
def test_a_lock_that_is_not_had_in_time_is_not_waited_for(run: Callable[..., list[Any]]) -> None:
    lock = Lock()
    assert run(lambda: lock.acquire(0.0)) == [True]
    assert run(lambda: lock.acquire(0.05), lambda: lock.acquire(0.0)) == [False, False]
    lock.release()
    assert run(lambda: lock.acquire(0.0)) == [True]


def test_what_blocks_sees_the_context_of_its_caller() -> None:
    asked: ContextVar[str] = ContextVar("asked", default="nobody")

    def ask() -> str:
        asked.set("us")
        return run_blocking(asked.get)

    assert as_greenlets(ask) == ["us"]


def test_each_greenlet_has_its_own_deadline() -> None:
    def left() -> float:
        with deadline(100.0):
            gevent.sleep(0)
            return time_left_s()

    def hurried() -> float:
        with deadline(1.0):
            gevent.sleep(0)
            return time_left_s()

    long, short = as_greenlets(left, hurried)
    assert short <= 1.0
    assert long > 90.0


class Slow:
    """Counts how often it was done; each time it waits until it may end."""

    def __init__(self) -> None:
        self.times = 0
        self.began = threading.Event()
        self.go_on = threading.Event()

    def __call__(self) -> None:
        self.times += 1
        self.began.set()
        assert self.go_on.wait(20)


def test_who_asks_while_it_is_done_shares_the_next_one() -> None:
    slow = Slow()
    shared = GroupCommit(slow)

    def later() -> None:
        while not slow.began.is_set():
            gevent.sleep(0.001)
        shared()

    def release() -> None:
        while not slow.began.is_set():
            gevent.sleep(0.001)
        gevent.sleep(0.05)
        assert slow.times == 1
        slow.go_on.set()

    assert as_greenlets(shared, *[later] * 20, release) == [None] * 22
    # The first had begun before the others asked, and does not count for them; one more counts for all.
    assert slow.times == 2


def test_who_asks_one_after_the_other_has_one_each() -> None:
    times: list[float] = []
    shared = GroupCommit(lambda: times.append(time.monotonic()))

    def thrice() -> None:
        for _ in range(3):
            shared()

    as_greenlets(thrice)
    outright(shared, shared)
    assert len(times) == 5


def test_what_fails_fails_for_all_who_shared_it_and_for_nobody_after_them() -> None:
    fails = [True]

    def sync() -> None:
        time.sleep(0.01)
        if fails[0]:
            raise OSError(5, "it cannot be written")

    shared = GroupCommit(sync)

    def told() -> str:
        try:
            shared()
        except OSError:
            return "failed"
        return "done"

    assert as_greenlets(*[told] * 5) == ["failed"] * 5
    fails[0] = False
    assert as_greenlets(*[told] * 5) == ["done"] * 5
