"""Group commit for single enqueues: one call of Redis serves the verifications of several threads."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from worker.errors import LedgerUnavailable

if TYPE_CHECKING:
    from worker.enqueue_request import EnqueueRequest
    from worker.ledger import Ledger


def _locked() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


@dataclass(slots=True)
class _Waiting:
    """A thread that waits behind a call in flight. Another thread sets one of the last three, then releases `turn`."""

    request: EnqueueRequest
    turn: threading.Lock = field(default_factory=_locked)
    new: bool = False
    failed: bool = False
    #: Those for which it makes the next call, beside itself; None: another thread made its call.
    others: list[_Waiting] | None = None


class GroupEnqueue:
    """Enqueues single verifications. Safe to share between threads.

    While a call for a region and pipeline is in flight, further verifications of them wait, and the next call takes all
    that wait. One that comes while there is none waits for no other. If a call fails, so do those that wait behind it:
    each would otherwise wait for a Redis that does not answer, one after the other.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()
        #: Who waits, by region and pipeline; there is a list while a call is in flight.
        self._lines: dict[tuple[str, str], list[_Waiting]] = {}

    def enqueue(self, request: EnqueueRequest) -> bool:
        """Accept a verification, due now. False if the ledger has it already. Raises ``LedgerUnavailable``."""
        name = request.region, request.pipeline
        with self._lock:
            line = self._lines.get(name)
            if line is None:
                self._lines[name] = []
            else:
                mine = _Waiting(request)
                line.append(mine)
        if line is None:
            return self._call(name, request, [])
        mine.turn.acquire()
        if mine.failed:
            raise LedgerUnavailable("the call of another request for Redis failed: the ledger cannot be used")
        return mine.new if mine.others is None else self._call(name, request, mine.others)

    def _call(self, name: tuple[str, str], request: EnqueueRequest, others: list[_Waiting]) -> bool:
        try:
            new, *rest = self._ledger.enqueue([request, *(each.request for each in others)])
        except BaseException:
            with self._lock:
                behind = self._lines.pop(name)
            for each in (*others, *behind):
                each.failed = True
                each.turn.release()
            raise
        self._hand_over(name)
        for each, answer in zip(others, rest, strict=True):
            each.new = answer
            each.turn.release()
        return new

    def _hand_over(self, name: tuple[str, str]) -> None:
        """Have the first of those that wait make the next call, for all of them."""
        with self._lock:
            line = self._lines[name]
            if not line:
                del self._lines[name]
                return
            self._lines[name] = []
        line[0].others = line[1:]
        line[0].turn.release()
