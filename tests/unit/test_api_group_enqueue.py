"""Single enqueues of several threads: one call serves all that wait, and none is lost or answered twice."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.support.waiting import until
from worker.enqueue_request import EnqueueRequest
from worker.errors import LedgerUnavailable
from worker.web.api.group_enqueue import GroupEnqueue

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future


@dataclass
class SlowLedger:
    """A ledger whose calls for a region and pipeline wait until the test lets them end. An id is new the first time."""

    calls: list[list[str]] = field(default_factory=list)
    gates: dict[str, threading.Semaphore] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)
    error: Exception | None = None

    def enqueue(self, requests: list[EnqueueRequest]) -> list[bool]:
        self.calls.append([each.signature_id for each in requests])
        gate = self.gates.get(f"{requests[0].region}/{requests[0].pipeline}")
        assert gate is None or gate.acquire(timeout=20)
        if self.error is not None:
            raise self.error
        new = [each.signature_id not in self.known for each in requests]
        self.known |= {each.signature_id for each in requests}
        return new


@pytest.fixture
def ledger() -> SlowLedger:
    return SlowLedger(gates={"ph/default": threading.Semaphore(0)})


@pytest.fixture
def group(ledger: SlowLedger) -> GroupEnqueue:
    return GroupEnqueue(ledger)  # type: ignore[arg-type]


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


def waiting(group: GroupEnqueue) -> int:
    return sum(map(len, group._lines.values()))


def behind_a_call(
    group: GroupEnqueue, ledger: SlowLedger, threads: ThreadPoolExecutor, names: list[str]
) -> list[Future[bool]]:
    """The first of `names` is in flight, and the others wait behind it, in this order."""
    futures: list[Future[bool]] = []
    for number, name in enumerate(names):
        futures.append(threads.submit(group.enqueue, EnqueueRequest(name, "ph")))
        until(lambda number=number: len(ledger.calls) == 1 and waiting(group) == number)  # type: ignore[misc]
    return futures


def test_one_alone_is_a_call_of_its_own(group: GroupEnqueue, ledger: SlowLedger) -> None:
    ledger.gates.clear()
    assert group.enqueue(EnqueueRequest("a", "ph"))
    assert not group.enqueue(EnqueueRequest("a", "ph"))
    assert ledger.calls == [["a"], ["a"]]
    assert group._lines == {}


def test_what_comes_during_a_call_is_one_call_and_each_gets_its_own_answer(
    group: GroupEnqueue, ledger: SlowLedger, threads: ThreadPoolExecutor
) -> None:
    ledger.known = {"c"}
    futures = behind_a_call(group, ledger, threads, ["a", "b", "c", "d"])
    ledger.gates["ph/default"].release(2)
    assert [each.result(timeout=20) for each in futures] == [True, True, False, True]
    assert ledger.calls == [["a"], ["b", "c", "d"]]
    assert group._lines == {}


@pytest.mark.parametrize("other", [EnqueueRequest("x", "sg"), EnqueueRequest("x", "ph", pipeline="shop")])
def test_another_region_or_pipeline_does_not_wait(
    group: GroupEnqueue, ledger: SlowLedger, threads: ThreadPoolExecutor, other: EnqueueRequest
) -> None:
    futures = behind_a_call(group, ledger, threads, ["a", "b"])
    assert threads.submit(group.enqueue, other).result(timeout=20)
    assert not any(each.done() for each in futures)
    ledger.gates["ph/default"].release(2)
    assert all(each.result(timeout=20) for each in futures)


@pytest.mark.parametrize("error", [LedgerUnavailable("Redis does not answer"), ValueError("a bug")])
def test_a_call_that_fails_fails_for_all_that_wait_and_for_none_after(
    group: GroupEnqueue, ledger: SlowLedger, threads: ThreadPoolExecutor, error: Exception
) -> None:
    futures = behind_a_call(group, ledger, threads, ["a", "b", "c"])
    ledger.error = error
    ledger.gates["ph/default"].release()
    first, *others = [each.exception(timeout=20) for each in futures]
    assert first is error
    assert [type(each) for each in others] == [LedgerUnavailable, LedgerUnavailable]
    # Only what was sent was tried: those behind it wait for no further call.
    assert ledger.calls == [["a"]]

    ledger.error = None
    ledger.gates["ph/default"].release()
    assert group.enqueue(EnqueueRequest("d", "ph"))


def test_a_second_call_that_fails_fails_for_its_own(
    group: GroupEnqueue, ledger: SlowLedger, threads: ThreadPoolExecutor
) -> None:
    futures = behind_a_call(group, ledger, threads, ["a", "b", "c"])
    ledger.gates["ph/default"].release()
    assert futures[0].result(timeout=20)
    until(lambda: len(ledger.calls) == 2)
    ledger.error = LedgerUnavailable("Redis does not answer")
    ledger.gates["ph/default"].release()
    assert [type(each.exception(timeout=20)) for each in futures[1:]] == [LedgerUnavailable] * 2
    assert group._lines == {}
