"""The work of a batch: on few threads while calls are quick, on more while they are slow, and never lost."""

from __future__ import annotations

import threading
import time

import pytest

from worker.calls import FEWEST, Calls, Work


def finish(work: Work[int, int], timeout_s: float = 30.0) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    give_up_at = time.monotonic() + timeout_s
    while work.pending:
        assert time.monotonic() < give_up_at
        found += work.outcomes(timeout_s=0.2, gather_s=lambda: 0.01)
    return found


class Watch:
    """How many calls are under way at once, at most. Calls wait until `open` is set."""

    def __init__(self) -> None:
        self.most = 0
        self.open = threading.Event()
        self._now = 0
        self._lock = threading.Lock()

    def __call__(self, item: int) -> int:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        self.open.wait(30)
        with self._lock:
            self._now -= 1
        return item * 10


def test_every_item_has_its_outcome_once() -> None:
    work = Calls(64).begin("ph/polling", lambda item: item * 10, range(1000, 1200))
    assert sorted(finish(work)) == [(item, item * 10) for item in range(1000, 1200)]


def test_slow_calls_get_threads_until_all_are_under_way_and_the_next_batch_has_them_at_once() -> None:
    calls, watch = Calls(64), Watch()
    work = calls.begin("ph/polling", watch, range(32))
    while watch.most < 32:
        assert work.outcomes(timeout_s=0.05, gather_s=lambda: 0.0) == []
    watch.open.set()
    assert len(finish(work)) == 32

    again = Watch()
    work = calls.begin("ph/polling", again, range(32))
    until = time.monotonic() + 30
    # Nobody looked after it: nothing grew.
    while again.most < 32:
        assert time.monotonic() < until
        time.sleep(0.01)
    again.open.set()
    finish(work)


def test_another_kind_of_work_begins_with_few() -> None:
    calls, watch = Calls(64), Watch()
    calls.learn("ph/polling", 64, quickest_s=1.0)
    work = calls.begin("sg/polling", watch, range(32))
    time.sleep(0.1)
    assert watch.most <= FEWEST
    watch.open.set()
    finish(work)


def test_quick_calls_give_threads_back() -> None:
    calls = Calls(64)
    calls.learn("ph/polling", 64, quickest_s=1.0)
    for _ in range(8):
        calls.learn("ph/polling", 64, quickest_s=0.001)
    watch = Watch()
    work = calls.begin("ph/polling", watch, range(32))
    time.sleep(0.1)
    assert watch.most <= FEWEST
    watch.open.set()
    finish(work)


def test_what_has_not_begun_can_be_taken_back() -> None:
    calls, watch = Calls(64), Watch()
    work = calls.begin("ph/polling", watch, range(32))
    taken = work.take_back()
    assert 0 < len(taken) <= 32
    watch.open.set()
    assert sorted([item for item, _ in finish(work)] + taken) == list(range(32))


def test_what_a_call_raises_is_raised_where_outcomes_are_awaited() -> None:
    def fail(item: int) -> int:
        raise LookupError(str(item))

    work = Calls(8).begin("ph/polling", fail, range(3))
    with pytest.raises(LookupError):
        finish(work)
