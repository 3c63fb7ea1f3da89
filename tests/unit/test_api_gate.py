"""How many requests run at the same time, and how many wait."""

from __future__ import annotations

import threading

import pytest

from worker.web.api.bodies import MAX_MEMBERS, parse
from worker.web.api.gate import Gate


def test_as_many_enter_as_may_and_each_that_leaves_makes_room() -> None:
    gate = Gate(at_once=2, waiting=0)
    assert [gate.enter() for _ in range(3)] == [True, True, False]
    gate.leave()
    assert [gate.enter() for _ in range(2)] == [True, False]


def test_one_that_waits_enters_when_another_leaves() -> None:
    gate, entered = Gate(at_once=1, waiting=1, wait_s=20), threading.Event()
    assert gate.enter()

    def wait() -> None:
        if gate.enter():
            entered.set()

    waits = threading.Thread(target=wait)
    waits.start()
    assert not entered.wait(0.05)
    gate.leave()
    assert entered.wait(10)
    waits.join()


def test_one_that_has_waited_in_vain_takes_no_place() -> None:
    gate = Gate(at_once=1, waiting=1, wait_s=0.01)
    assert [gate.enter() for _ in range(4)] == [True, False, False, False]
    gate.leave()
    assert gate.enter()


def test_an_object_with_more_members_than_any_context_is_refused() -> None:
    def text(members: int) -> bytes:
        return b"{%s}" % b",".join(b'"%d":1' % number for number in range(members))

    assert len(parse(text(MAX_MEMBERS))) == MAX_MEMBERS
    with pytest.raises(ValueError, match=r"^an object in the body has more than 1000 members$"):
        parse(text(MAX_MEMBERS + 1))
