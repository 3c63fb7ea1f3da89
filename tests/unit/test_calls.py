"""The work of batches: on few threads while a process is busy, on more while it waits, and never lost."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from worker.calls import FEWEST, LATE_S, LOOK_EVERY_S, Calls, Strain, Work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def finish(work: Work[int, int], timeout_s: float = 30.0) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    give_up_at = time.monotonic() + timeout_s
    while work.pending:
        assert time.monotonic() < give_up_at
        found += work.outcomes(timeout_s=0.2, gather_s=lambda: 0.01)
    return found


def until(true: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + 30
    while not true():
        assert time.monotonic() < give_up_at
        time.sleep(0.01)


class Watch:
    """How many calls are under way at once, now and at most. Calls wait until `open` is set."""

    def __init__(self) -> None:
        self.most = self.now = 0
        self.open = threading.Event()
        self._lock = threading.Lock()

    @contextmanager
    def one_more(self) -> Iterator[None]:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            yield
        finally:
            with self._lock:
                self.now -= 1

    def __call__(self, item: int) -> int:
        with self.one_more():
            self.open.wait(30)
        return item * 10


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is always busy."""
    monkeypatch.setattr("worker.calls.BUSY_SHARE", 0.0)


def test_every_item_has_its_outcome_once() -> None:
    work = Calls(64).begin(lambda item: item * 10, range(1000, 1200))
    assert sorted(finish(work)) == [(item, item * 10) for item in range(1000, 1200)]


def test_nothing_to_do_is_done_at_once() -> None:
    calls = Calls(64)
    assert calls.begin(lambda item: item, []).pending == []
    assert finish(calls.begin(lambda item: item, [1])) == [(1, 1)]


def test_slow_calls_get_threads_until_all_are_under_way_and_the_next_batch_has_them_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("worker.calls.LATE_S", float("inf"))  # other tests keep the cores busy
    calls, watch = Calls(64), Watch()
    work = calls.begin(watch, range(32))
    until(lambda: watch.most == 32)
    watch.open.set()
    assert len(finish(work)) == 32

    monkeypatch.setattr("worker.calls.LOOK_EVERY_S", 3600.0)
    again = Watch()
    work = calls.begin(again, range(32))
    # Nobody looked after it: it had them at the start.
    until(lambda: again.most >= 32 / 1.5)
    again.open.set()
    finish(work)


def test_there_are_never_more_threads_than_may_be() -> None:
    calls, watch = Calls(8), Watch()
    work = calls.begin(watch, range(32))
    until(lambda: watch.most == 8)
    time.sleep(10 * LOOK_EVERY_S)
    assert watch.most == 8
    watch.open.set()
    assert len(finish(work)) == 32


@pytest.mark.usefixtures("busy")
def test_a_busy_process_does_all_batches_on_few_threads() -> None:
    calls, watch = Calls(64), Watch()

    def quick(item: int) -> int:
        with watch.one_more():
            time.sleep(0.001)
        return item

    works = [calls.begin(quick, range(32)) for _ in range(8)]
    for work in works:
        assert len(finish(work)) == 32
    # One that the machine held up for long may have been made up for.
    assert FEWEST <= watch.most < 4 * FEWEST


@pytest.mark.usefixtures("busy")
def test_calls_that_wait_hold_up_nobody_behind_them_even_if_the_process_is_busy() -> None:
    calls, hung = Calls(64), Watch()
    first = calls.begin(hung, range(16))
    second = calls.begin(lambda item: item, range(32))
    assert len(finish(second)) == 32
    assert len(first.pending) == 16
    assert hung.now == 16
    until(lambda: calls.waiting == 16)
    hung.open.set()
    finish(first)
    until(lambda: calls.waiting == 0)


@pytest.mark.usefixtures("busy")
def test_slow_calls_among_quick_ones_of_one_batch_hold_up_none_of_them() -> None:
    calls, hung = Calls(64), Watch()
    work = calls.begin(lambda item: hung(item) if item % 4 == 0 else item, range(64))
    found: list[tuple[int, int]] = []
    give_up_at = time.monotonic() + 30
    while len(found) < 48:
        assert time.monotonic() < give_up_at
        found += work.outcomes(timeout_s=0.1, gather_s=lambda: 0.0)
    assert hung.now == 16
    hung.open.set()
    assert len(finish(work)) == 16


def test_a_batch_that_begins_while_others_wait_gets_threads_though_nobody_looks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("worker.calls.LOOK_EVERY_S", 3600.0)
    monkeypatch.setattr("worker.calls.WAITS_S", 0.0)
    calls, hung = Calls(64), Watch()
    first = calls.begin(hung, range(FEWEST))
    until(lambda: hung.now == FEWEST)
    assert finish(calls.begin(lambda item: item, [7])) == [(7, 7)]
    hung.open.set()
    finish(first)


def test_threads_that_are_too_many_end_while_there_is_something_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls, slow, quick = Calls(64), Watch(), Watch()
    at_once: list[int] = []

    def each(item: int) -> int:
        if item < 32:
            return slow(item)
        with quick.one_more():
            at_once.append(quick.now)
            time.sleep(0.01)
        return item

    work = calls.begin(each, range(800))
    until(lambda: slow.now == 32)
    monkeypatch.setattr("worker.calls.BUSY_SHARE", 0.0)
    slow.open.set()
    finish(work)
    assert min(at_once[-100:]) <= 2 * FEWEST


def looks(
    strain: Strain, monkeypatch: pytest.MonkeyPatch, *, share: float, late_s: float, times: int = 50
) -> float:
    """What `strain` comes to where a process uses `share` of a core and its threads are `late_s`."""
    clock = [time.monotonic(), time.process_time()]
    monkeypatch.setattr("worker.calls.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("worker.calls.time.process_time", lambda: clock[1])
    strain.begin()
    for _ in range(times):
        past_s = LOOK_EVERY_S + late_s
        clock[0] += past_s
        clock[1] += share * past_s
        strain.look(int(strain.threads), 256)
    monkeypatch.undo()
    return strain.threads


@pytest.mark.parametrize(
    ("share", "late_s", "threads"),
    [
        pytest.param(0.1, 0.0001, 256, id="it-waits"),
        pytest.param(0.9, 0.0001, FEWEST, id="it-is-busy"),
        pytest.param(0.1, 2 * LATE_S, FEWEST, id="others-keep-the-cores-busy"),
    ],
)
def test_what_a_process_makes_use_of(
    monkeypatch: pytest.MonkeyPatch, share: float, late_s: float, threads: int
) -> None:
    strain = Strain()
    assert looks(strain, monkeypatch, share=share, late_s=late_s) == threads
    # And back again, from wherever it came.
    other = 0.1 if threads == FEWEST else 0.9
    assert looks(strain, monkeypatch, share=other, late_s=0.0001) == (256 if other < 0.5 else FEWEST)


def test_threads_that_are_not_used_are_not_more(monkeypatch: pytest.MonkeyPatch) -> None:
    strain = Strain()
    for _ in range(50):
        strain.look(0, 256)
    assert strain.threads == FEWEST


def test_what_has_not_begun_can_be_taken_back() -> None:
    calls, watch = Calls(64), Watch()
    work = calls.begin(watch, range(32))
    taken = work.take_back()
    assert 0 < len(taken) <= 32
    watch.open.set()
    assert sorted([item for item, _ in finish(work)] + taken) == list(range(32))


def test_what_a_call_raises_is_raised_where_outcomes_are_awaited() -> None:
    def fail(item: int) -> int:
        raise LookupError(str(item))

    work = Calls(8).begin(fail, range(3))
    with pytest.raises(LookupError):
        finish(work)


def test_calls_outlive_what_one_raised() -> None:
    calls = Calls(FEWEST)
    with pytest.raises(ZeroDivisionError):
        finish(calls.begin(lambda item: 1 // item, [0] * 12))
    assert len(finish(calls.begin(lambda item: item, range(12)))) == 12
