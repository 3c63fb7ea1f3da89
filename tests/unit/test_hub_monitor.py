"""The monitor of blocked event loops finds what blocks, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from typing import TYPE_CHECKING

import gevent
import pytest

from tests.hub_monitor import blocked
from tests.support.executor_calls import finish
from tests.support.paths import ROOT
from tests.support.waiting import until
from worker.concurrency.blocking import run_blocking
from worker.concurrency.executor import EventLoop, Executor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


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


def test_a_test_in_which_a_call_blocks_fails_and_says_where(tmp_path: Path) -> None:
    test = """
        import time

        from tests.support.executor_calls import finish
        from worker.concurrency.executor import EventLoop, Executor


        def test_blocks() -> None:
            finish(Executor(8, EventLoop()).begin(lambda _: time.sleep(3.0), [1]))
    """
    path = tmp_path / "test_blocks.py"
    path.write_text(textwrap.dedent(test))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    child = subprocess.run(
        [*command, "-c", ROOT / "pyproject.toml", "--rootdir", ROOT, path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert child.returncode == 1, child.stdout
    assert "a call blocked the event loop for more than 0.1 s" in child.stdout
    assert "test_blocks.py:9" in child.stdout
