"""Work that may block for long: a few at a time, and nobody waits longer than a bound."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from worker.web.console.bounded import Bounded, Busy


def test_it_returns_and_raises_what_the_work_does() -> None:
    bounded = Bounded("store", at_once=1, waiting=1, wait_s=1, limit_s=5)
    assert bounded.run(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        bounded.run(lambda: 1 // 0)
    with pytest.raises(TimeoutError):
        bounded.run(_timed_out)
    assert bounded.run(lambda: 8) == 8, "each leaves its place"


def _timed_out() -> None:
    raise TimeoutError


def test_few_run_at_once_and_the_rest_is_refused() -> None:
    bounded = Bounded("store", at_once=2, waiting=0, wait_s=0.05, limit_s=20)
    inside, go_on = threading.Semaphore(0), threading.Event()

    def work() -> bool:
        inside.release()
        return go_on.wait(20)

    with ThreadPoolExecutor(2) as threads:
        running = [threads.submit(bounded.run, work) for _ in range(2)]
        for _ in running:
            assert inside.acquire(timeout=20)
        with pytest.raises(Busy, match="too many people use the store"):
            bounded.run(work)
        go_on.set()
        assert [each.result(20) for each in running] == [True, True]
    assert bounded.run(lambda: 9) == 9


def test_what_hangs_is_given_up_and_keeps_its_place() -> None:
    bounded = Bounded("store", at_once=1, waiting=0, wait_s=0.05, limit_s=0.1)
    go_on, ended = threading.Event(), threading.Event()

    def hang() -> None:
        go_on.wait(20)
        ended.set()

    with pytest.raises(Busy, match="did not answer within"):
        bounded.run(hang)
    with pytest.raises(Busy, match="too many"):
        bounded.run(lambda: None)
    go_on.set()
    assert ended.wait(20)
    for _ in range(200):
        try:
            assert bounded.run(lambda: 5) == 5
            break
        except Busy:
            threading.Event().wait(0.05)
    else:
        pytest.fail("the place stays taken")
