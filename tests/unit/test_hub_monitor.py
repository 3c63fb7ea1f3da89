"""The monitor of blocked event loops finds what blocks, and nothing else."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import gevent
import pytest

from tests.hub_monitor import blocked
from tests.unit.test_calls import finish, until
from worker.concurrency.blocking import run_blocking
from worker.concurrency.executor import EventLoop, Executor

if TYPE_CHECKING:
    from collections.abc import Callable


def sleep(item: int) -> int:
    time.sleep(2.0)
    return item


def compute(item: int) -> int:
    end = time.monotonic() + 4.0
    while time.monotonic() < end and not blocked:
        sum(range(1000))
    return item


@pytest.mark.blocks_event_loop
@pytest.mark.parametrize("call", [sleep, compute])
def test_a_call_that_blocks_is_found_and_its_place_named(call: Callable[[int], int]) -> None:
    run = Executor(8, EventLoop()).begin(call, [1])
    until(lambda: bool(blocked))
    assert call.__name__ in blocked[0]
    finish(run)


def test_calls_that_wait_cooperatively_are_not_found() -> None:
    def wait(item: int) -> int:
        run_blocking(time.sleep, 0.5)
        gevent.sleep(0.5)
        return item

    assert len(finish(Executor(8, EventLoop()).begin(wait, range(8)))) == 8
    assert not blocked


def test_many_short_calls_are_not_found() -> None:
    def short(item: int) -> int:
        for _ in range(20):
            sum(range(10_000))
            gevent.sleep(0)
        return item

    assert len(finish(Executor(64, EventLoop()).begin(short, range(200)))) == 200
    assert not blocked
