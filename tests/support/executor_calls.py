"""Calls that an executor runs concurrently, and their outcomes."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, TypeVar

from tests.support.waiting import PATIENCE_S
from worker.concurrency.blocking import run_blocking

if TYPE_CHECKING:
    from worker.concurrency.executor import BatchRun

_Item = TypeVar("_Item")
_Outcome = TypeVar("_Outcome")


def finish(work: BatchRun[_Item, _Outcome]) -> list[tuple[_Item, _Outcome]]:
    """Return all items with their outcomes, in the order in which the calls ended."""
    found: list[tuple[_Item, _Outcome]] = []
    give_up_at = time.monotonic() + PATIENCE_S
    while work.pending:
        assert time.monotonic() < give_up_at
        found += work.outcomes(timeout_s=0.2, gather_s=lambda: 0.01)
    return found


class Watch:
    """Counts the calls in flight, now and at most. Calls wait until `open` is set."""

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
